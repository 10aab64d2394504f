"""The door of trainers: what one is given, what it offers, and the registry of those there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.registry import Registry
from retrain.training.progress import Progress
from retrain.training.ranks import ALONE, Ranks
from retrain.training.spec import RunSpec

DONE, BAD_SPEC, STOPPED = 0, 2, 75


@dataclass(frozen=True, slots=True)
class Job:
    """A run in a folder. `stop` says whether to end at the next chance, `clock` gives seconds that only go forward.

    With several `ranks` each has a job, all ask `stop` together, and only the first's `progress` is kept.
    """

    folder: Path
    spec: RunSpec
    progress: Progress
    stop: Callable[[], bool]
    clock: Callable[[], float]
    ranks: Ranks = ALONE


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will take here: seconds from `seconds_low` to `seconds_high`, peak memory in MiB of each device,
    measured how."""

    device: str
    pairs: int
    steps: int
    tokens: int
    seconds_low: float
    seconds_high: float
    memory_mb: int
    basis: str


class Trainer(Protocol):
    """Trains a candidate adapter. Its docstring's first line is its name on pages."""

    def train(self, job: Job) -> int:
        """Train to the end or to a stop, from the last checkpoint if there is one; returns the exit code."""
        ...

    def forecast(self, job: Job) -> Forecast:
        """Time a few steps and say what the whole will take. Changes nothing on disk but the reference cache."""
        ...


TRAINERS: Registry[type[Trainer]] = Registry("trainer", "retrain.trainers")
