"""More answers come in another language than their question."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.language import UNDETERMINED, language
from monitors.metrics import metric
from monitors.watched import RisingShare


@metric
class ResponseLanguage(RisingShare):
    """More answers come in another language than their question.

    Where the languages of both are told (monitors.descriptors.language); a translation that was asked for counts too,
    so only a rise alarms.
    """

    words = "More answers than in the reference are in another language than their question."

    def value(self, inference: Inference) -> float | None:
        """1 where answer and question differ in language, 0 where not, None where one of them is undetermined."""
        if inference.status != 200 or not inference.response.strip():
            return None
        asked, answered = language(inference.prompt), language(inference.response)
        return None if UNDETERMINED in (asked, answered) else float(asked != answered)
