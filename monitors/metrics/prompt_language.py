"""People write in other languages than before."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.language import LANGUAGES, language
from monitors.metrics import metric
from monitors.watched import Kinds


@metric
class PromptLanguage(Kinds):
    """People write in other languages than before.

    The language of the first prompt of each conversation by its commonest words (monitors.descriptors.language), "und"
    where too little tells; the number shown is the share outside the commonest one.
    """

    words = "The languages of the prompts have other shares than in the reference."
    kinds = LANGUAGES
    source = "prompts"
    per_release = False

    def value(self, inference: Inference) -> float | None:
        """The index in LANGUAGES of the prompt's language; None for an empty prompt."""
        return float(LANGUAGES.index(language(inference.prompt))) if inference.prompt.strip() else None
