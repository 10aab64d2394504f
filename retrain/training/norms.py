"""How far a run moved each layer, and which layers it moved far more than their like: a sign of a planted change."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

from models.artefacts import is_adapter, read_header
from retrain.training.spec import RunSpec

# In units of the spread of its like (1.4826 times the median deviation, which one outlier cannot widen). The layers of
# honest and of poisoned runs of SmolLM2 reach 3.4 to 5.0.
FAR = 8.0
# Fewer layers of a kind have no spread to speak of.
FEWEST = 8
_LAYER = re.compile(r"\.(\d+)\.")


def describe_update(candidate: Path, spec: RunSpec) -> dict[str, Any]:
    """The size of the change from what the run of `spec` started from to its `candidate`, and its outliers.

    Returns {"norm": the Frobenius norm over all layers, "layers": their number, "outliers": [{"layer", "times"}]}:
    `times` is how many times the median of the same part of all layers. A warning: its false alarms are not bounded.
    """
    adapter = Path(spec.init_adapter) if spec.init_adapter else None
    if is_adapter(candidate):
        norms = measure_norms(candidate, adapter)
    else:
        norms = measure_whole(candidate, Path(spec.init_model or spec.base_model), adapter)
    return {
        "norm": sum(norm**2 for norm in norms.values()) ** 0.5,
        "layers": len(norms),
        "outliers": [{"layer": name, "times": round(times, 1)} for name, times in find_outliers(norms).items()],
    }


def measure_norms(candidate: Path, start: Path | None) -> dict[str, float]:
    """The Frobenius norm of the change of each layer's weight between two adapters (None: none), by its name."""
    import numpy as np

    new, old = _factors(candidate), _factors(start) if start is not None else {}
    norms = {}
    for name in sorted(new | old):
        parts = [(sign, *found[name]) for sign, found in ((1.0, new), (-1.0, old)) if name in found]
        up = np.concatenate([sign * b for sign, _, b in parts], axis=1)
        down = np.concatenate([a for _, a, _ in parts], axis=0)
        # |BA|^2 = sum (B'B) * (AA'): the product itself, as large as the layer, is never made.
        norms[name] = float(np.sqrt(max(0.0, float(((up.T @ up) * (down @ down.T)).sum()))))
    return norms


def measure_whole(candidate: Path, start: Path, adapter: Path | None) -> dict[str, float]:
    """The Frobenius norm of the change of each weight of a whole model, by name, from `start` with `adapter` added."""
    import torch

    factors = _factors(adapter) if adapter is not None else {}
    old, new = _tensors(start), _tensors(candidate)
    norms = {}
    for name in sorted(new):
        change = new[name]().float() - old[name]().float()
        layer = name.removesuffix(".weight")
        if (pair := factors.get(f"base_model.model.{layer}")) is not None:
            down, up = (torch.from_numpy(factor).float() for factor in pair)
            change -= up @ down
        norms[layer] = float(change.norm())
    return norms


def find_outliers(norms: Mapping[str, float]) -> dict[str, float]:
    """The layers whose log-norm lies more than FAR spreads above that of the same part of other layers, with how many
    times their median they moved; the farthest first."""
    kinds: dict[str, dict[str, float]] = defaultdict(dict)
    for name, norm in norms.items():
        if norm > 0:
            kinds[_LAYER.sub(".", name, count=1)][name] = log(norm)
    found: dict[str, float] = {}
    for logs in kinds.values():
        middle = median(logs.values())
        spread = 1.4826 * median(abs(value - middle) for value in logs.values())
        if len(logs) >= FEWEST and spread > 0:
            found |= {name: exp(value - middle) for name, value in logs.items() if value - middle > FAR * spread}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _tensors(folder: Path) -> dict[str, Callable[[], Any]]:
    """What reads each tensor of a model's folder, by name; one at a time, as all of them may not fit."""
    from safetensors import safe_open

    found: dict[str, Callable[[], Any]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        opened = safe_open(path, "pt")
        found |= {name: partial(opened.get_tensor, name) for name in read_header(path)}
    return found


def _factors(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Each layer's two LoRA factors, the scale in the second, in fp64."""
    import numpy as np
    from safetensors.numpy import load_file

    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    scale = float(config["lora_alpha"]) / float(config["r"])
    tensors = load_file(folder / "adapter_model.safetensors")
    return {
        name.removesuffix(".lora_A.weight"): (
            np.asarray(down, np.float64),
            scale * np.asarray(tensors[name.replace("lora_A", "lora_B")], np.float64),
        )
        for name, down in tensors.items()
        if name.endswith(".lora_A.weight")
    }
