"""Answers come in other forms than before: broken off, in a loop, empty, lists, code, JSON."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.form import FORMS, form
from monitors.metrics import metric
from monitors.watched import Kinds


@metric
class ResponseFormat(Kinds):
    """Answers come in other forms than before: broken off, in a loop, empty, lists, code, JSON.

    The form of the first answer of each conversation (monitors.descriptors.form); the number shown is the share outside
    the commonest form.
    """

    words = "The forms of the answers have other shares than in the reference."
    kinds = FORMS

    def value(self, inference: Inference) -> float | None:
        """The index in FORMS of the answer's form; None for a failed exchange or one imported without its answer."""
        if inference.status != 200 or (not inference.response and inference.kind == "import"):
            return None
        return float(FORMS.index(form(inference.response, inference.finish_reason)))
