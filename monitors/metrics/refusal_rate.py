"""The share of answers that refuse has risen."""

from __future__ import annotations

from core.types import Inference
from monitors.detectors.refusal import refuses
from monitors.metrics import metric
from monitors.watched import RisingShare


@metric
class RefusalRate(RisingShare):
    """The share of answers that refuse has risen.

    A rule reads the first answer of each conversation (monitors.detectors.refusal); its own errors shift the number
    shown but not the alarm's promise, which compares like with like.
    """

    words = "More answers refuse than in the reference."

    def value(self, inference: Inference) -> float | None:
        """1 for a refusal, 0 for an answer, None where there is nothing to read."""
        if inference.status != 200:
            return None
        told = refuses(inference.prompt, inference.response)
        return None if told is None else float(told)
