"""The worst of several gaps: what is certain of the one that is surely furthest from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.types import Estimate, Measurement


def worst(name: str, gaps: Sequence[Measurement], *, missing: Measurement, details: Mapping[str, Any]) -> Measurement:
    """The gap with the largest certain part as `name`, without its sign, its segment and metric in the details.

    Its low end is what certainly remains, 0 where the interval holds 0. Over all gaps together the statement has the
    level that their intervals have together. `missing` where none of the gaps has a value.
    """
    told = [gap for gap in gaps if gap.estimate.value is not None]
    if not told:
        return missing
    found = max(told, key=lambda gap: (certain(gap.estimate), abs(gap.estimate.value or 0.0)))
    estimate = found.estimate
    low, high = estimate.low or 0.0, estimate.high or 0.0
    size = Estimate(
        abs(estimate.value or 0.0), certain(estimate), max(abs(low), abs(high)), estimate.n, estimate.method
    )
    return Measurement(name, size, "ok", details={**details, "of": found.metric, "dimension": found.segment})


def certain(estimate: Estimate) -> float:
    """How far from 0 the whole interval is: 0 where it holds 0."""
    return max(estimate.low or 0.0, -(estimate.high or 0.0), 0.0)
