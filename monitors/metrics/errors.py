"""The share of requests that fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.types import Measurement, Window
from estimates.means import mean
from estimates.proportions import proportion
from monitors.metrics import Guarantee, metric

NAME = "errors"


@metric
class Errors:
    """The share of requests that fail.

    Status 500 and above, and answers broken off, over the newest requests, held to a plain limit: no guarantee about
    false alarms. What clients got wrong themselves (400 to 499) does not count.
    """

    guarantee: Guarantee = "none"

    def measure(self, reference: Window | None, current: Window, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The failed share with its interval; NoData while there are too few requests."""
        rows = [row for row in current.rows if not 400 <= row.inference.status < 500]
        failed = [row.inference.status >= 500 or bool(row.inference.error) for row in rows]
        if any(row.probability < 1 for row in rows):
            estimate = mean([float(f) for f in failed], low=0, high=1, probabilities=[row.probability for row in rows])
        else:
            estimate = proportion(sum(failed), len(failed))
        if estimate.value is None:
            return [Measurement(NAME, estimate, "nodata", reason=f"{estimate.needed} more requests needed.")]
        return [Measurement(NAME, estimate, "ok", details={"failed": sum(failed)})]
