"""People write in other languages than before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import shares
from monitors.descriptors.language import LANGUAGES, language
from monitors.metrics import Guarantee, Unit, metric

NAME = "prompt_language"
WORDS = "The languages of the prompts have other shares than in the reference."


@metric
class PromptLanguage:
    """People write in other languages than before.

    The language of the first prompt of each conversation by its commonest words (monitors.descriptors.language), "und"
    where too little tells; the number shown is the share outside the commonest one.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "prompts"
    per_release = False
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """The index in LANGUAGES of the prompt's language; None for an empty prompt."""
        return float(LANGUAGES.index(language(inference.prompt))) if inference.prompt.strip() else None

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> shares.ShareTracker:
        """A new epoch on the reference given."""
        return shares.started(NAME, WORDS, LANGUAGES, reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> shares.ShareTracker:
        """The tracker that was stored."""
        return shares.restored(NAME, WORDS, LANGUAGES, state)
