"""More answers come in another language than their question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import rates
from monitors.descriptors.language import UNDETERMINED, language
from monitors.metrics import Guarantee, Unit, metric
from monitors.metrics.refusal_rate import share

NAME = "response_language"
WORDS = "More answers than in the reference are in another language than their question."


@metric
class ResponseLanguage:
    """More answers come in another language than their question.

    Where the languages of both are told (monitors.descriptors.language); a translation that was asked for counts too,
    so only a rise alarms.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """1 where answer and question differ in language, 0 where not, None where one of them is undetermined."""
        if inference.status != 200 or not inference.response.strip():
            return None
        asked, answered = language(inference.prompt), language(inference.response)
        return None if UNDETERMINED in (asked, answered) else float(asked != answered)

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(NAME, WORDS, reference, share, alpha=alpha, horizon=horizon, seed=seed, side="rise")

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(NAME, WORDS, state, share)
