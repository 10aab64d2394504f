"""Several devices that train one model together: processes of torchrun (ranks) that work alike and share the work out.

Each keeps a part of every layer's weights (retrain.training.shards) and needs the others for the whole of it, so that
all make the same passes in the same order and agree on what the clock or a signal says.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil

from core.errors import InvalidInput
from retrain.training.batches import Micro

if TYPE_CHECKING:
    from torch import Tensor

_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is; one alone talks to nobody. `device` is where what they exchange lies."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether it is this one that writes."""
        return self.rank == 0

    def deal(self, micros: Iterable[Micro]) -> Iterator[Micro]:
        """This one's share of the forward passes, in turns.

        All make equally many, as each holds a part of what the others need: where they do not come out even, a rank
        makes the last one too, with weight 0.
        """
        if self.size == 1:
            yield from micros
            return
        every = list(micros)
        for begun in range(0, len(every), self.size):
            own = begun + self.rank
            yield every[own] if own < len(every) else replace(every[-1], weight=0.0)

    def add(self, values: Tensor) -> Tensor:
        """`values` with those of all ranks added, in place."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(values)
        return values

    def sum(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Each figure, added up over all ranks."""
        import torch

        if self.size == 1:
            return dict(figures)
        total = self.add(torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device))
        return dict(zip(figures, total.tolist(), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether any rank says so; all ask."""
        return self.sum({"flag": float(flag)})["flag"] > 0

    def wait(self) -> None:
        """Return once all are here."""
        self.any(False)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Inside is one rank at a time: a machine has room for what one of them needs for a moment, not for all."""
        for _ in range(self.rank):
            self.wait()
        yield
        for _ in range(self.rank, self.size):
            self.wait()


ALONE = Ranks()


@contextmanager
def join(device: str, starter: int | None) -> Iterator[Ranks]:
    """This process's place among those that torchrun started for the process `starter`; ALONE where that is None.

    `device` is auto, cpu or cuda; each rank takes the CUDA device of its number. Raises InvalidInput where there are
    fewer.
    """
    if starter is None:
        yield ALONE
        return
    import torch
    from torch import distributed

    threading.Thread(target=_end_with, args=(os.getppid(), starter), daemon=True).start()
    on_gpu = device != "cpu" and torch.cuda.is_available()
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        rank, size = distributed.get_rank(), distributed.get_world_size()
        if on_gpu:
            if (there := torch.cuda.device_count()) < size:
                raise InvalidInput(
                    f"The run asks for {size} CUDA devices and this machine has {there}.", "Lower devices."
                )
            torch.cuda.set_device(rank)
        yield Ranks(rank, size, "cuda" if on_gpu else "cpu")
    finally:
        distributed.destroy_process_group()


def _end_with(parent: int, starter: int) -> None:
    """End this process with torchrun or the one that started that.

    torchrun puts each rank into a session of its own, where no signal to the run's group reaches it, and what is left
    of a killed run must not write beside its next attempt.
    """
    while os.getppid() == parent and lives(starter):
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


def lives(pid: int) -> bool:
    """Whether a process runs: one that is over and that nobody has waited for yet keeps its number, but does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
