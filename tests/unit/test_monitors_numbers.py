"""What a measurement says in an alert: numbers that people read, never an exponent."""

from __future__ import annotations

import pytest

from core.types import Estimate, Measurement
from monitors.verdict import sentence


@pytest.mark.parametrize(
    ("estimate", "limit", "said"),
    [
        (Estimate(0.08512, 0.0503, 0.1331, 200, "exact"), None, "errors is 0.0851 [0.0503, 0.133], n = 200."),
        (
            Estimate(30712.4, 27500.0, 42600.0, 244, "rank"),
            20000,
            "errors is 30,712 [27,500, 42,600], n = 244, limit 20,000.",
        ),
        (Estimate(95.2, 86.4, 103.1, 42, "t"), None, "errors is 95.2 [86.4, 103], n = 42."),
        (Estimate.missing(3, "exact", 17), None, "Not enough data (3 rows). 17 more needed."),
    ],
)
def test_numbers_are_plain(estimate: Estimate, limit: float | None, said: str) -> None:
    details = {} if limit is None else {"limit": limit}
    assert sentence({"name": "errors"}, Measurement("errors", estimate, "breach", details=details)) == said
