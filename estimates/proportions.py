"""Exact intervals for a share of rows, and the difference of two independent estimates."""

from math import ceil, sqrt

from scipy.special import betaincinv, ndtri

from core.errors import InvalidInput
from core.types import Estimate

LEVEL = 0.95
MINIMUM = 20


def exact_limits(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the limits of Clopper and Pearson (1934): they cover every true share with at least `level`."""
    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return low, high


def proportion(successes: int, n: int, *, minimum: int = MINIMUM, level: float = LEVEL) -> Estimate:
    """Return the share `successes` / `n` with its Clopper-Pearson interval; missing below `minimum` rows.

    Raises InvalidInput unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise InvalidInput(f"{successes} of {n} rows is not a share.", "Count successes among the rows counted.")
    method = f"clopper-pearson {100 * level:.4g}%"
    if n < max(minimum, 1):
        return Estimate.missing(n, method, max(minimum, 1) - n)
    low, high = exact_limits(successes, n, level)
    return Estimate(successes / n, low, high, n, method)


def difference(new: Estimate, old: Estimate, *, low: float = -1.0, high: float = 1.0) -> Estimate:
    """Return new minus old of two independent samples from their own estimates; n is the smaller sample's.

    The distances of the limits are combined by squares (MOVER: Zou and Donner, Statistics in Medicine 27,
    2008), which stays honest at 0 and 1. Cut to `low` and `high`. Missing when either estimate is.
    """
    n = min(new.n, old.n)
    method = f"mover of {new.method}"
    if new.value is None or new.low is None or new.high is None:
        return Estimate.missing(n, method, new.needed)
    if old.value is None or old.low is None or old.high is None:
        return Estimate.missing(n, method, old.needed)
    gap = new.value - old.value
    below = sqrt((new.value - new.low) ** 2 + (old.high - old.value) ** 2)
    above = sqrt((new.high - new.value) ** 2 + (old.value - old.low) ** 2)
    return Estimate(gap, max(low, gap - below), min(high, gap + above), n, method)


def needed(half_width: float, *, rate: float = 0.5, n: int = 0, level: float = LEVEL) -> int:
    """Return how many more rows than `n` make an interval about +- `half_width` wide when the share is near
    `rate`.

    Normal approximation with Agresti and Coull's four added rows; a plan, not a promise.
    """
    if not 0 < half_width < 1:
        raise InvalidInput(f"A half width of {half_width} is not a share.", "Give a value between 0 and 1.")
    z = float(ndtri(1 - (1 - level) / 2))
    return max(0, ceil(z * z * max(rate * (1 - rate), half_width / 4) / half_width**2) - n)
