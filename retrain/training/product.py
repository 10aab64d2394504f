"""What a run leaves: a LoRA adapter or a whole model, in a folder whose digest depends on what it does alone."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from models.artefacts import inspect
from retrain.training.adapter import save_adapter
from retrain.training.policy import Policy
from retrain.training.shards import put_together
from retrain.training.spec import RunSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor


def gather_state(policy: Policy, *, keep: bool = True) -> dict[str, Tensor]:
    """What `policy` has learnt, by name, in the machine's own memory.

    Weights in parts are put together, which takes all ranks, one after another, since all of them need not fit on a
    device; they stay only with one that is to `keep` them.
    """
    found = policy.trainable() if policy.adapted else policy.causal.state_dict(keep_vars=True)
    # Tied weights are one tensor under two names, and stay one.
    made: dict[int, Tensor | None] = {}
    state: dict[str, Tensor] = {}
    for name, value in found.items():
        if id(value) not in made:
            whole = put_together(value.detach())
            made[id(value)] = whole.cpu() if keep else None
            del whole
        if (kept := made[id(value)]) is not None:
            state[name] = kept
    return state


def save_product(policy: Policy, spec: RunSpec, folder: Path, state: Mapping[str, Tensor]) -> None:
    """Write what the run of `spec` trained, its `state`, into `folder`."""
    if policy.adapted:
        save_adapter(policy, Path(spec.base_model), folder, state)
    else:
        save_model(policy, Path(spec.init_model or spec.base_model), folder, state, spec.seed)


def save_model(policy: Policy, start: Path, folder: Path, state: Mapping[str, Tensor], seed: int) -> None:
    """Write the whole model of `policy`, trained from the one in `start`: safetensors in the number format they had
    there, with the configuration, tokenizer and template of there as they are. `seed` draws how bf16 is rounded.
    """
    import torch
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(str(start), local_files_only=True).dtype or torch.float32
    generator = torch.Generator().manual_seed(seed)
    made: dict[int, Tensor] = {}
    told: dict[str, Tensor] = {}
    for name, value in state.items():
        if id(value) not in made:
            made[id(value)] = narrow(value.cpu(), generator) if kind == torch.bfloat16 else value.to("cpu", kind)
        told[name] = made[id(value)]
    policy.causal.save_pretrained(str(folder), state_dict=told)
    for path in inspect(start):
        if path.suffix != ".safetensors" and not path.name.endswith(".index.json"):
            target = folder / path.relative_to(start)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)


def narrow(values: Tensor, generator: Generator) -> Tensor:
    """fp32 `values` in bf16, rounded up as often as they are near to the number above (stochastic rounding).

    Training moves most weights by less than half the distance to the next bf16 number, so that the nearest is the one
    that they began as: what was learnt would be gone. Rounded so it stays on average.
    """
    import torch

    bits = values.contiguous().view(torch.int32)
    draw = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, generator=generator)
    # The upper 16 bits of an fp32 number are a bf16 number; a draw added to the lower ones carries that often.
    return ((bits + draw) & ~0xFFFF).view(torch.float32).bfloat16()
