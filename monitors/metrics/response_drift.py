"""What the model answers has moved away from what it answered before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors.embedded import DriftTracker, restored, started
from monitors.metrics import Guarantee, Unit, metric

NAME = "response_drift"


@metric
class ResponseDrift:
    """What the model answers has moved away from what it answered before.

    As prompt_drift, on the first answer of each conversation: five views of every answer and the mix of topics of the
    latest ones (monitors.statistics.drift). Answers follow the questions: read it beside prompt_drift.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = True
    minimum = 100

    def value(self, inference: Inference) -> float | None:
        """0 for an answer with words, which carries no number of its own; None where there is none."""
        return 0.0 if inference.status == 200 and inference.response.strip() else None

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> DriftTracker:
        """A new epoch on the reference given. Raises InvalidInput when it is too small or not finite."""
        return started(NAME, "answer", reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> DriftTracker:
        """The tracker that was stored. Raises InvalidInput when the bytes are not such a state."""
        return restored(NAME, "answer", state)
