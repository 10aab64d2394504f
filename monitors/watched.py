"""What the metrics of a share and of kinds have in common: their epochs of the sequential rate test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from core.types import Estimate
from estimates.proportions import proportion
from monitors import rates, shares
from monitors.metrics import Guarantee, Unit


class Watched:
    """A metric under the false-alarm budget that needs no embeddings, named for its file."""

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release: bool = True
    embedded = False
    minimum = 50
    words: ClassVar[str]

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return type(self).__module__.rpartition(".")[2]


class RisingShare(Watched):
    """A metric whose units are 1 or 0; it alarms where the share of ones has risen."""

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(
            self.name, self.words, reference, share, alpha=alpha, horizon=horizon, seed=seed, side="rise"
        )

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(self.name, self.words, state, share)


class Kinds(Watched):
    """A metric whose units are indices in `kinds`; it alarms where any kind's share has changed."""

    kinds: ClassVar[Sequence[str]]

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> shares.ShareTracker:
        """A new epoch on the reference given."""
        return shares.started(self.name, self.words, self.kinds, reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> shares.ShareTracker:
        """The tracker that was stored."""
        return shares.restored(self.name, self.words, self.kinds, state)


def share(values: Sequence[float]) -> Estimate:
    """The share of ones with its exact interval."""
    return proportion(int(sum(values)), len(values))
