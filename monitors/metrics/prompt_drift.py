"""What people ask has moved away from what they asked before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors.embedded import DriftTracker, restored, started
from monitors.metrics import Guarantee, Unit, metric

NAME = "prompt_drift"


@metric
class PromptDrift:
    """What people ask has moved away from what they asked before.

    Every conversation's first prompt is ranked against the reference in five views (meaning, wording, length,
    capitals, punctuation) and the latest windows are compared by their mix of topics (monitors.statistics.drift).
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "prompts"
    per_release = False
    embedded = True
    minimum = 100

    def value(self, inference: Inference) -> float | None:
        """Prompts carry no number of their own."""
        return 0.0

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> DriftTracker:
        """A new epoch on the reference given. Raises InvalidInput when it is too small or not finite."""
        return started(NAME, "prompt", reference, alpha=alpha, horizon=horizon, seed=seed)

    def restore(self, state: bytes, params: Mapping[str, Any]) -> DriftTracker:
        """The tracker that was stored. Raises InvalidInput when the bytes are not such a state."""
        return restored(NAME, "prompt", state)
