"""Intervals for quantiles (median length, 95th percentile of latency) that assume nothing of the
distribution.
"""

from math import ceil, log

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from core.errors import InvalidInput
from core.types import Estimate
from estimates.means import mean
from estimates.proportions import LEVEL, MINIMUM


def quantile(
    values: ArrayLike,
    q: float,
    *,
    probabilities: ArrayLike | None = None,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the q-quantile with an interval of order statistics; missing while the sample cannot bound it.

    Limits are the sorted values whose ranks the binomial law gives (David and Nagaraja, Order Statistics,
    7.1), at least `level` for any distribution, ties included. With inclusion `probabilities` the weighted
    share of values up to each point is inverted (Woodruff 1952) with the interval of `means.mean`. Raises
    InvalidInput on a q outside (0, 1) or values that are not finite.
    """
    x = np.asarray(values, float)
    if not 0 < q < 1 or not np.isfinite(x).all():
        raise InvalidInput(f"The {q} quantile of these values does not exist.", "Give finite values and 0 < q < 1.")
    tail = (1 - level) / 2
    method = f"order statistics {level:.0%}"
    required = max(minimum, ceil(log(tail) / log(max(q, 1 - q))))
    if len(x) < required:
        return Estimate.missing(len(x), method, required - len(x))
    if probabilities is not None:
        return _weighted(x, q, np.asarray(probabilities, float), minimum, level)
    x = np.sort(x)
    n = len(x)
    # Ranks from 1: P(X_(low) > quantile) <= tail and P(X_(high) < quantile) <= tail.
    low = int(binom.ppf(tail, n, q))
    while low > 0 and binom.cdf(low - 1, n, q) > tail:
        low -= 1
    high = int(binom.isf(tail, n, q)) + 1
    while binom.sf(high - 1, n, q) > tail:
        high += 1
    value = x[max(ceil(q * n), 1) - 1]
    return Estimate(float(value), float(x[max(low, 1) - 1]), float(x[min(high, n) - 1]), n, method)


def _weighted(x: np.ndarray, q: float, probabilities: np.ndarray, minimum: int, level: float) -> Estimate:
    method = f"weighted order statistics {level:.0%}"
    order = np.argsort(x, kind="stable")
    points = np.unique(x)

    def share(point: float) -> Estimate:
        return mean(x <= point, low=0, high=1, probabilities=probabilities, minimum=minimum, level=level)

    none, every = share(-np.inf), share(points[-1])
    if none.high is None or every.low is None:
        return Estimate.missing(len(x), method, every.needed)
    if none.high >= q or every.low <= q:
        # The quantile may lie beyond every value seen; as many rows again bring the limits about half as close.
        return Estimate.missing(len(x), method, len(x))
    weights = np.cumsum(1 / probabilities[order])
    value = x[order][np.searchsorted(weights, q * weights[-1])]
    first, last = 0, len(points) - 1
    while first < last:  # the smallest point whose share may reach q
        middle = (first + last) // 2
        first, last = (first, middle) if (share(points[middle]).high or 0) >= q else (middle + 1, last)
    low = points[first]
    last = len(points) - 1
    while first < last:  # the smallest point whose share surely exceeds q
        middle = (first + last) // 2
        first, last = (first, middle) if (share(points[middle]).low or 0) > q else (middle + 1, last)
    return Estimate(float(value), float(low), float(points[first]), len(x), method)
