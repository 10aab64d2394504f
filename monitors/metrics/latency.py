"""How long people wait for an answer: median, slow tail and first token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.types import Measurement, Status, Window
from estimates.quantiles import quantile
from monitors.metrics import Guarantee, metric

MEASURES = (
    ("latency_p50_ms", "latency_ms", 0.5),
    ("latency_p95_ms", "latency_ms", 0.95),
    ("first_token_p95_ms", "first_token_ms", 0.95),
)


@metric
class Latency:
    """How long people wait for an answer: median, slow tail and first token.

    Milliseconds over the newest answers, held to a plain limit: no guarantee about false alarms.
    """

    guarantee: Guarantee = "none"

    def measure(self, reference: Window | None, current: Window, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """Quantiles in milliseconds with distribution-free intervals; NoData while too few answers were timed."""
        out = []
        for name, field, q in MEASURES:
            timed = [
                (float(getattr(row.inference, field)), row.probability)
                for row in current.rows
                if row.inference.status == 200 and getattr(row.inference, field) is not None
            ]
            weighted = any(probability < 1 for _, probability in timed)
            estimate = quantile(
                [value for value, _ in timed], q, probabilities=[p for _, p in timed] if weighted else None
            )
            status: Status = "ok" if estimate.value is not None else "nodata"
            reason = "" if estimate.value is not None else f"{estimate.needed} more timed answers needed."
            out.append(Measurement(name, estimate, status, reason=reason))
        return out
