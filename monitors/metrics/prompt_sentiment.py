"""People write in another mood than before."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.sentiment import SENTIMENTS, sentiment
from monitors.metrics import metric
from monitors.watched import Kinds


@metric
class PromptSentiment(Kinds):
    """People write in another mood than before.

    The sentiment of the first prompt of each conversation (monitors.descriptors.sentiment); the number shown is the
    share outside the commonest of negative, neutral and positive.
    """

    words = "Negative, neutral and positive prompts have other shares than in the reference."
    kinds = SENTIMENTS
    source = "prompts"
    per_release = False

    def value(self, inference: Inference) -> float | None:
        """The index in SENTIMENTS of the prompt's sentiment; None for one that is empty or in another language."""
        told = sentiment(inference.prompt)
        return None if told is None else float(SENTIMENTS.index(told))
