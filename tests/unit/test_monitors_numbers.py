"""What a measurement says in an alert: numbers that people read, never an exponent."""

from __future__ import annotations

import pytest

from core.types import Estimate, Measurement
from monitors.verdict import sentence


@pytest.mark.parametrize(
    ("metric", "estimate", "limit", "said"),
    [
        ("errors", Estimate(0.08512, 0.0503, 0.1331, 200, ""), None, "Errors is 8.5 % (5.0 to 13.3 %, n = 200)."),
        (
            "latency_p95_ms",
            Estimate(30712.4, 27500.0, 42600.0, 244, "rank"),
            20000,
            "Latency p95 is 30,712 ms (27,500 to 42,600 ms, n = 244); it should be at most 20,000 ms.",
        ),
        (
            "response_pii",
            Estimate(0.0852, 0.05, None, 42, ""),
            0.02,
            "Response PII is 8.5 % (at least 5.0 %, n = 42); it should be at most 2.0 %.",
        ),
        ("errors", Estimate.missing(3, "exact", 17), None, "Not enough data (3 rows). 17 more needed."),
    ],
)
def test_numbers_are_plain(metric: str, estimate: Estimate, limit: float | None, said: str) -> None:
    details = {} if limit is None else {"limit": limit}
    assert sentence({"name": "errors"}, Measurement(metric, estimate, "breach", details=details)) == said
