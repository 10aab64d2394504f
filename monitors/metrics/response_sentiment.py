"""Answers have another tone than before."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.sentiment import SENTIMENTS, sentiment
from monitors.metrics import metric
from monitors.watched import Kinds


@metric
class ResponseSentiment(Kinds):
    """Answers have another tone than before.

    The sentiment of the first answer of each conversation (monitors.descriptors.sentiment); the number shown is the
    share outside the commonest of negative, neutral and positive.
    """

    words = "Negative, neutral and positive answers have other shares than in the reference."
    kinds = SENTIMENTS

    def value(self, inference: Inference) -> float | None:
        """The index in SENTIMENTS of the answer's; None for a failed exchange, an empty answer, another language."""
        told = sentiment(inference.response) if inference.status == 200 else None
        return None if told is None else float(SENTIMENTS.index(told))
