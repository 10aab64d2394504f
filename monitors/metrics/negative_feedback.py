"""The share of judged answers that people dislike has risen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import rates
from monitors.metrics import Guarantee, Unit, metric
from monitors.metrics.refusal_rate import share

NAME = "negative_feedback"
WORDS = "More judged answers are disliked than in the reference."


@metric
class NegativeFeedback:
    """The share of judged answers that people dislike has risen.

    A thumb down, a rating under one half or a correction counts as negative; the first judgement of an answer counts.
    Who judges is their own choice, so the number is of judged answers only.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "feedback"
    per_release = True
    embedded = False
    minimum = 30

    def value(self, inference: Inference) -> float | None:
        """Judgements come from the feedback, not from the answer itself."""
        return None

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(NAME, WORDS, reference, share, alpha=alpha, horizon=horizon, seed=seed, side="rise")

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(NAME, WORDS, state, share)
