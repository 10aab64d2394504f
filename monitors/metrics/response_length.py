"""Answers have become longer or shorter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log1p
from typing import Any, Literal

from core.types import Estimate, Inference
from estimates.quantiles import quantile
from monitors import rates
from monitors.metrics import Guarantee, Unit, metric

NAME = "response_length"
WORDS = "Answers are longer or shorter than in the reference."
LONGEST = 20_000


@metric
class ResponseLength:
    """Answers have become longer or shorter.

    Characters of the first answer of each conversation, on a logarithmic scale for the alarm; the number shown is the
    median of the latest answers.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """Characters of the answer; None for a failed exchange or one imported without its answer."""
        if inference.status != 200 or (not inference.response and inference.kind == "import"):
            return None
        return float(len(inference.response))

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(
            NAME, WORDS, reference, median, alpha=alpha, horizon=horizon, seed=seed, side="change", scale=logarithmic
        )

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(NAME, WORDS, state, median, logarithmic)


def median(values: Sequence[float]) -> Estimate:
    """The median in characters with its distribution-free interval."""
    return quantile(list(values), 0.5)


def logarithmic(length: float) -> float:
    """A length in characters on a logarithmic scale from 0 to 1, which LONGEST reaches."""
    return min(1.0, log1p(length) / log1p(LONGEST))
