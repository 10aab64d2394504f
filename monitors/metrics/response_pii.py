"""More answers tell personal data that the question did not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import rates
from monitors.descriptors.personal import fresh_kinds
from monitors.metrics import Guarantee, Unit, metric
from monitors.metrics.refusal_rate import share

NAME = "response_pii"
WORDS = "More answers than in the reference tell personal data that was not in the question."


@metric
class ResponsePii:
    """More answers tell personal data that the question did not hold.

    E-mail and IP addresses, phone, card and account numbers, national identity numbers (monitors.descriptors.personal);
    only that there are some is kept, never what they are.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "answers"
    per_release = True
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """1 where the answer tells such data, 0 where not, None for a failed exchange or an empty answer."""
        if inference.status != 200 or not inference.response.strip():
            return None
        return float(bool(fresh_kinds(inference.prompt, inference.response)))

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(NAME, WORDS, reference, share, alpha=alpha, horizon=horizon, seed=seed, side="rise")

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(NAME, WORDS, state, share)
