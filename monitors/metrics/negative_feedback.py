"""The share of judged answers that people dislike has risen."""

from __future__ import annotations

from core.types import Inference
from monitors.metrics import metric
from monitors.watched import RisingShare


@metric
class NegativeFeedback(RisingShare):
    """The share of judged answers that people dislike has risen.

    A thumb down, a rating under one half or a correction counts as negative; the first judgement of an answer counts.
    Who judges is their own choice, so the number is of judged answers only.
    """

    words = "More judged answers are disliked than in the reference."
    source = "feedback"
    minimum = 30

    def value(self, inference: Inference) -> float | None:
        """Judgements come from the feedback, not from the answer itself."""
        return None
