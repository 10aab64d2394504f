"""Intervals for means whose rows share two kinds of source at once, such as a prompt and a contributor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from core.types import Estimate
from estimates.means import Floats, effective_units, paired_difference, sum_by_unit
from estimates.proportions import LEVEL, MINIMUM


def crossed_difference(
    new: ArrayLike,
    old: ArrayLike,
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    low: float = 0.0,
    high: float = 1.0,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the mean of new - old over the same items, each between `low` and `high`, with an interval.

    `first` and `second` name each item's sources of either kind. The interval is the hull of `paired_difference`
    clustered by `first` and of Student's with the two-way variance of `crossed_ratio`. Missing below `minimum`
    effective units of `first`, or with one unit of `second`.
    """
    found = paired_difference(new, old, low=low, high=high, clusters=first, minimum=minimum, level=level)
    if found.low is None or found.high is None:
        return found
    difference = np.asarray(new, float) - np.asarray(old, float)
    wide = crossed_ratio(difference, np.ones(len(difference)), first, second, minimum=minimum, level=level)
    if wide.low is None or wide.high is None:
        return wide
    span = high - low
    return replace(
        found,
        low=max(-span, min(found.low, wide.low)),
        high=min(span, max(found.high, wide.high)),
        method=f"{found.method}, {wide.method}",
    )


def crossed_ratio(
    totals: ArrayLike,
    sizes: ArrayLike,
    first: Sequence[Any],
    second: Sequence[Any] | None = None,
    *,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return sum of `totals` / sum of `sizes`, of values without bounds, with an interval; n counts the rows.

    The variance is linearised and robust to what the rows of one source have in common, for both kinds of source at
    once: V(first) + V(second) - V(first and second), at least the larger of the first two (Cameron, Gelbach and
    Miller, Robust inference with multiway clustering, Journal of Business and Economic Statistics 29, 2011), each with
    the factor G / (G - 1). Student's quantile has the smaller number of sources less one as its degrees of freedom.
    """
    total, size = np.asarray(totals, float), np.asarray(sizes, float)
    method = f"{'two-way ' if second is not None else ''}clustered student {100 * level:.4g}%"
    _, rows = sum_by_unit(total, size, first)
    units = effective_units(rows)
    if units < max(minimum, 2):
        scale = len(total) / units if units else 1.0
        return Estimate.missing(len(total), method, int(np.ceil((max(minimum, 2) - units) * scale)))
    value = float(total.sum() / size.sum())
    residuals = total - value * size
    variance, sources = _spread(residuals, first)
    if second is not None:
        other, others = _spread(residuals, second)
        both, _ = _spread(residuals, list(zip(first, second, strict=True)))
        variance, sources = max(variance, other, variance + other - both), min(sources, others)
    if sources < 2:
        return Estimate.missing(len(total), method, 1)
    half = float(stdtrit(sources - 1, (1 + level) / 2)) * sqrt(variance) / float(size.sum())
    return Estimate(value, value - half, value + half, len(total), method)


def _spread(residuals: Floats, sources: Sequence[Any]) -> tuple[float, int]:
    """The sum of squares of the sources' summed residuals, corrected for their number, and that number."""
    sums, _ = sum_by_unit(residuals, np.ones(len(residuals)), sources)
    number = len(sums)
    return float((sums**2).sum()) * number / max(number - 1, 1), number
