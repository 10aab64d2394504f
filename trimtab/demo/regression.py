"""The demo's quality regression: the served adapter with noise in its weights, released past the gate on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from core.errors import InvalidInput

NOISE = 16.0


def damage(source: Path, target: Path, *, seed: int, noise: float = NOISE) -> None:
    """Copy the adapter in `source` to `target` with Gaussian noise on its second LoRA factors.

    `noise` is the noise's standard deviation as a multiple of the root mean square of the first factors. Raises
    InvalidInput when `source` holds no LoRA adapter.
    """
    from safetensors.numpy import load_file, save_file

    weights = load_file(source / "adapter_model.safetensors")
    seconds = [name for name in weights if ".lora_B." in name]
    if not seconds:
        raise InvalidInput(f"{source.name} holds no LoRA adapter.", "Choose a version that a run made.")
    random = np.random.default_rng(seed)
    for name in seconds:
        first = weights[name.replace(".lora_B.", ".lora_A.")].astype(np.float32)
        scale = noise * float(np.sqrt(np.mean(first**2)))
        weights[name] = (weights[name] + random.normal(0.0, scale, weights[name].shape)).astype(np.float32)
    target.mkdir(parents=True)
    shutil.copyfile(source / "adapter_config.json", target / "adapter_config.json")
    save_file(weights, target / "adapter_model.safetensors", metadata={"format": "pt"})
