"""Checkpoints of a run: safetensors and JSON in a folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from retrain.training.shards import cut, put_together

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter
    from torch.optim import Optimizer


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state to go on from. `tensors` names weights, optimiser moments and generators; `state` the rest."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


def publish(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder` by filling a hidden one beside it and renaming that once; what was there is replaced."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    fill(hidden)
    for path in [*hidden.rglob("*"), hidden]:
        flush(path)
    if folder.exists():
        # A folder cannot be replaced by a rename, so the old one steps aside first.
        old = folder.parent / f".{folder.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        hidden.rename(folder)
        shutil.rmtree(old)
    else:
        hidden.rename(folder)
    flush(folder.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole."""
    hidden = path.with_name(f".{path.name}.partial")
    hidden.write_text(text, "utf-8")
    flush(hidden)
    hidden.replace(path)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_checkpoint(root: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint of `step` under `root` and remove the earlier ones. Returns its folder.

    One that is there already is the same: a run's state at a step is decided by what identifies the run.
    """
    from safetensors.torch import save_file

    def fill(folder: Path) -> None:
        save_file(checkpoint.tensors, folder / "tensors.safetensors")
        (folder / "state.json").write_text(json.dumps(checkpoint.state, sort_keys=True), "utf-8")

    target = root / f"step-{step:08d}"
    if not target.exists():
        publish(target, fill)
    for earlier in list_checkpoints(root)[:-1]:
        # A folder is removed file by file: out of sight first, so that a crash midway leaves nothing half there.
        hidden = root / f".{earlier.name}.old"
        shutil.rmtree(hidden, ignore_errors=True)
        earlier.rename(hidden)
        shutil.rmtree(hidden)
    return target


def list_checkpoints(root: Path) -> list[Path]:
    """Whole checkpoints under `root`, oldest first."""
    return sorted(root.glob("step-*"))


def load_checkpoint(root: Path, identity: str) -> Checkpoint | None:
    """The last checkpoint under `root`, if any. Raises InvalidInput if it belongs to a run told something else."""
    from safetensors.torch import load_file

    found = list_checkpoints(root)
    if not found:
        return None
    state = json.loads((found[-1] / "state.json").read_text("utf-8"))
    if state["identity"] != identity:
        raise InvalidInput(
            "The run's settings or pairs have changed since its checkpoint.",
            "Start a new run, or remove its checkpoints folder to begin again.",
        )
    return Checkpoint(load_file(found[-1] / "tensors.safetensors"), state)


def gather(
    parameters: Mapping[str, Parameter], optimizer: Optimizer, generators: Mapping[str, Tensor], *, keep: bool = True
) -> dict[str, Tensor]:
    """Everything a step changes, as it is now: weights, optimiser moments by parameter name, generator states.

    On a CPU they are the tensors themselves: a copy would be as large as the run. Weights in parts are put together,
    which takes all ranks, and stay only with one that is to `keep` them.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        for kind, value in (("weight", parameter), *optimizer.state[parameter].items()):
            whole = put_together(value.detach())
            if keep:
                tensors[f"{kind}.{name}"] = whole.cpu()
    return tensors | {f"generator.{name}": state for name, state in generators.items()}


def restore(
    tensors: Mapping[str, Tensor], parameters: Mapping[str, Parameter], optimizer: Optimizer
) -> dict[str, Tensor]:
    """Put weights and moments back, and return the generator states."""
    kept: dict[str, dict[str, Tensor]] = defaultdict(dict)
    generators: dict[str, Tensor] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        if kind == "generator":
            generators[name] = value
        else:
            kept[name][kind] = value
    for name, parameter in parameters.items():
        moments = kept[name]
        parameter.data.copy_(cut(moments.pop("weight"), parameter))
        # The number of steps is one for all parts, and on the device too, where the fused optimiser counts it.
        optimizer.state[parameter] = {
            moment: value.to(parameter.device) if moment == "step" else cut(value, parameter)
            for moment, value in moments.items()
        }
    return generators


def get_generators(device: str) -> dict[str, Tensor]:
    """The states of the random generators that dropout draws from."""
    import torch

    states = {"cpu": torch.get_rng_state()}
    return states if device == "cpu" else states | {"cuda": torch.cuda.get_rng_state(device)}


def set_generators(states: dict[str, Tensor], device: str) -> None:
    """Put the states of the generators back."""
    import torch

    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device != "cpu":
        torch.cuda.set_rng_state(states["cuda"], device)
