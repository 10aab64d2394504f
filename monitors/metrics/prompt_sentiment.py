"""People write in another mood than before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import shares
from monitors.descriptors.sentiment import SENTIMENTS, sentiment
from monitors.metrics import Guarantee, Unit, metric

NAME = "prompt_sentiment"
WORDS = "Negative, neutral and positive prompts have other shares than in the reference."


@metric
class PromptSentiment:
    """People write in another mood than before.

    The sentiment of the first prompt of each conversation (monitors.descriptors.sentiment); the number shown is the
    share outside the commonest of negative, neutral and positive.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "prompts"
    per_release = False
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """The index in SENTIMENTS of the prompt's sentiment; None for one that is empty or in another language."""
        told = sentiment(inference.prompt)
        return None if told is None else float(SENTIMENTS.index(told))

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> shares.ShareTracker:
        """A new epoch on the reference given."""
        return shares.started(NAME, WORDS, SENTIMENTS, reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> shares.ShareTracker:
        """The tracker that was stored."""
        return shares.restored(NAME, WORDS, SENTIMENTS, state)
