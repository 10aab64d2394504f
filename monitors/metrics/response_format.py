"""Answers come in other forms than before: broken off, in a loop, empty, lists, code, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import shares
from monitors.descriptors.form import FORMS, form
from monitors.metrics import Guarantee, Unit, metric

NAME = "response_format"
WORDS = "The forms of the answers have other shares than in the reference."


@metric
class ResponseFormat:
    """Answers come in other forms than before: broken off, in a loop, empty, lists, code, JSON.

    The form of the first answer of each conversation (monitors.descriptors.form); the number shown is the share outside
    the commonest form.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """The index in FORMS of the answer's form; None for a failed exchange or one imported without its answer."""
        if inference.status != 200 or (not inference.response and inference.kind == "import"):
            return None
        return float(FORMS.index(form(inference.response, inference.finish_reason)))

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> shares.ShareTracker:
        """A new epoch on the reference given."""
        return shares.started(NAME, WORDS, FORMS, reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> shares.ShareTracker:
        """The tracker that was stored."""
        return shares.restored(NAME, WORDS, FORMS, state)
