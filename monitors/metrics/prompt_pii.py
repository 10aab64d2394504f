"""More people put personal data into their prompts."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.personal import kinds
from monitors.metrics import metric
from monitors.watched import RisingShare


@metric
class PromptPii(RisingShare):
    """More people put personal data into their prompts.

    E-mail and IP addresses, phone, card and account numbers, national identity numbers (monitors.descriptors.personal);
    only that there are some is kept, never what they are.
    """

    words = "More prompts than in the reference hold personal data."
    source = "prompts"
    per_release = False

    def value(self, inference: Inference) -> float | None:
        """1 where the prompt holds such data, 0 where not, None for an empty prompt."""
        return float(bool(kinds(inference.prompt))) if inference.prompt.strip() else None
