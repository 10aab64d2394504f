"""A trained adapter as a folder in PEFT's format, whose digest depends on what it does alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from retrain.training.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

KEPT_KEYS = frozenset({"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "bias"})


def save_adapter(policy: Policy, base: Path, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
    """Write the adapter of `policy`, made for the model in `base`: safetensors and its configuration, nothing else.

    `state` are its weights by name, where the policy has only a part of them.
    """
    from peft import LoraConfig

    policy.model.save_pretrained(
        str(folder), safe_serialization=True, save_embedding_layers=False, state_dict=dict(state) if state else None
    )
    (folder / "README.md").unlink(missing_ok=True)
    config = folder / "adapter_config.json"
    values = json.loads(config.read_text("utf-8"))
    # An adapter's digest must not depend on where the base lay, nor on the order of a set.
    values["base_model_name_or_path"] = base.name
    values["target_modules"] = sorted(values["target_modules"])
    usual = asdict(LoraConfig())
    told = {name: value for name, value in values.items() if name in KEPT_KEYS or value != usual.get(name)}
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", "utf-8")
