"""The share of answers that refuse has risen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Estimate, Inference
from estimates.proportions import proportion
from monitors import rates
from monitors.detectors.refusal import refuses
from monitors.metrics import Guarantee, Unit, metric

NAME = "refusal_rate"
WORDS = "More answers refuse than in the reference."


@metric
class RefusalRate:
    """The share of answers that refuse has risen.

    A rule reads the first answer of each conversation (monitors.detectors.refusal); its own errors shift the number
    shown but not the alarm's promise, which compares like with like.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """1 for a refusal, 0 for an answer, None where there is nothing to read."""
        if inference.status != 200:
            return None
        told = refuses(inference.prompt, inference.response)
        return None if told is None else float(told)

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(NAME, WORDS, reference, share, alpha=alpha, horizon=horizon, seed=seed, side="rise")

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(NAME, WORDS, state, share)


def share(values: Sequence[float]) -> Estimate:
    """The share of ones with its exact interval."""
    return proportion(int(sum(values)), len(values))
