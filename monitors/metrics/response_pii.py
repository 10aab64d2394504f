"""More answers tell personal data that the question did not hold."""

from __future__ import annotations

from core.types import Inference
from monitors.descriptors.personal import fresh_kinds
from monitors.metrics import metric
from monitors.watched import RisingShare


@metric
class ResponsePii(RisingShare):
    """More answers tell personal data that the question did not hold.

    E-mail and IP addresses, phone, card and account numbers, national identity numbers (monitors.descriptors.personal);
    only that there are some is kept, never what they are.
    """

    words = "More answers than in the reference tell personal data that was not in the question."

    def value(self, inference: Inference) -> float | None:
        """1 where the answer tells such data, 0 where not, None for a failed exchange or an empty answer."""
        if inference.status != 200 or not inference.response.strip():
            return None
        return float(bool(fresh_kinds(inference.prompt, inference.response)))
