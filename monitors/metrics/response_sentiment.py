"""Answers have another tone than before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import shares
from monitors.descriptors.sentiment import SENTIMENTS, sentiment
from monitors.metrics import Guarantee, Unit, metric

NAME = "response_sentiment"
WORDS = "Negative, neutral and positive answers have other shares than in the reference."


@metric
class ResponseSentiment:
    """Answers have another tone than before.

    The sentiment of the first answer of each conversation (monitors.descriptors.sentiment); the number shown is the
    share outside the commonest of negative, neutral and positive.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """The index in SENTIMENTS of the answer's; None for a failed exchange, an empty answer, another language."""
        told = sentiment(inference.response) if inference.status == 200 else None
        return None if told is None else float(SENTIMENTS.index(told))

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> shares.ShareTracker:
        """A new epoch on the reference given."""
        return shares.started(NAME, WORDS, SENTIMENTS, reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> shares.ShareTracker:
        """The tracker that was stored."""
        return shares.restored(NAME, WORDS, SENTIMENTS, state)
