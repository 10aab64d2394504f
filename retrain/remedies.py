"""What an operator can do about training that failed: a child speaks of its spec's keys, the console has settings."""

from __future__ import annotations

import re
from types import MappingProxyType

from retrain.training.spec import RunSpec

# The setting by which a proposed run gets a key of its spec.
SETTINGS = MappingProxyType(
    {
        "lr": "retrain.learning_rate (where all weights train: retrain.full_learning_rate)",
        "beta": "retrain.beta",
        "device": "retrain.device",
        "devices": "retrain.devices",
        "threads": "retrain.threads",
        "pairs_per_step": "retrain.pairs_per_step",
        "tokens_per_batch": "retrain.tokens_per_batch",
        "precision": "retrain.precision",
        "max_steps": "retrain.max_steps",
        "finetuning_type": "retrain.finetuning_type",
    }
)
_LONGEST = RunSpec("").max_length
# What is said otherwise in the console: a proposed run has no setting for it, or there is more that can be done.
_INSTEAD = MappingProxyType(
    {
        "Lower tokens_per_batch": "Lower retrain.tokens_per_batch, or free memory on the machine",
        " or use precision fp32": " or set retrain.precision to fp32",
        "Raise max_length": f"Approve shorter ones: prompt and answer together train up to {_LONGEST:,} tokens",
        "Use auto, cpu or cuda": "Set device to auto, cpu or cuda",
    }
)
_ASKED = re.compile(
    rf"\b(Lower|lower|Raise|Set|Change|or|spec\.json:|spec\.json: give either) ({'|'.join(SETTINGS)})\b"
)


def in_settings(sentence: str) -> str:
    """The sentence of a child, with the settings that fill its spec in place of the spec's keys."""
    for there, here in _INSTEAD.items():
        sentence = sentence.replace(there, here)
    return _ASKED.sub(lambda found: f"{found[1]} {SETTINGS[found[2]]}", sentence).replace("spec.json: ", "")


def for_run(sentence: str) -> str:
    """The same for a run of the console, which goes on with what it was proposed with."""
    told = in_settings(sentence)
    return told if told == sentence else f"{told} This run keeps its settings: propose a new one then."
