"""More people put personal data into their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from core.types import Inference
from monitors import rates
from monitors.descriptors.personal import kinds
from monitors.metrics import Guarantee, Unit, metric
from monitors.metrics.refusal_rate import share

NAME = "prompt_pii"
WORDS = "More prompts than in the reference hold personal data."


@metric
class PromptPii:
    """More people put personal data into their prompts.

    E-mail and IP addresses, phone, card and account numbers, national identity numbers (monitors.descriptors.personal);
    only that there are some is kept, never what they are.
    """

    guarantee: Guarantee = "budget"
    source: Literal["prompts", "answers", "feedback"] = "prompts"
    per_release = False
    embedded = False
    minimum = 50

    def value(self, inference: Inference) -> float | None:
        """1 where the prompt holds such data, 0 where not, None for an empty prompt."""
        return float(bool(kinds(inference.prompt))) if inference.prompt.strip() else None

    def start(
        self, reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int, params: Mapping[str, Any]
    ) -> rates.RateTracker:
        """A new epoch on the reference given."""
        return rates.started(NAME, WORDS, reference, share, alpha=alpha, horizon=horizon, seed=seed, side="rise")

    def restore(self, state: bytes, params: Mapping[str, Any]) -> rates.RateTracker:
        """The tracker that was stored."""
        return rates.restored(NAME, WORDS, state, share)
