"""Intervals for a share of rows, for a stratified sample's share, and for the difference of two shares."""

from collections.abc import Sequence
from math import ceil, sqrt

from scipy.stats import beta, norm

from core.errors import InvalidInput
from core.types import Estimate

LEVEL = 0.95
MINIMUM = 20


def exact_limits(successes: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the limits of Clopper and Pearson (1934): they cover every true share with at least `level`."""
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, successes, n - successes + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    return low, high


def proportion(successes: int, n: int, *, minimum: int = MINIMUM, level: float = LEVEL) -> Estimate:
    """Return the share `successes` / `n` with its Clopper-Pearson interval; missing below `minimum` rows.

    Raises InvalidInput unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise InvalidInput(f"{successes} of {n} rows is not a share.", "Count successes among the rows counted.")
    method = f"clopper-pearson {level:.0%}"
    if n < max(minimum, 1):
        return Estimate.missing(n, method, max(minimum, 1) - n)
    low, high = exact_limits(successes, n, level)
    return Estimate(successes / n, low, high, n, method)


def stratified_proportion(
    strata: Sequence[tuple[float, int, int]], *, minimum: int = MINIMUM, level: float = LEVEL
) -> Estimate:
    """Return the population's share from a stratified sample: one (weight, successes, n) a stratum.

    Weights are the strata's sizes in the population, in any unit. The exact limits of the strata are
    combined by squares of their distances (MOVER: Zou and Donner, Statistics in Medicine 27, 2008), which
    stays honest when a stratum shows none or only successes. A stratum with weight and no rows makes the
    estimate missing.
    """
    n = sum(rows for _, _, rows in strata)
    total = sum(weight for weight, _, _ in strata)
    method = f"stratified clopper-pearson {level:.0%}"
    empty = sum(1 for weight, _, rows in strata if weight > 0 and rows == 0)
    if n < max(minimum, 1) or empty or total <= 0:
        return Estimate.missing(n, method, max(minimum - n, empty, 1))
    value = below = above = 0.0
    for weight, successes, rows in strata:
        if rows == 0:
            continue
        share = weight / total
        low, high = exact_limits(successes, rows, level)
        value += share * successes / rows
        below += (share * (successes / rows - low)) ** 2
        above += (share * (high - successes / rows)) ** 2
    return Estimate(value, max(0.0, value - sqrt(below)), min(1.0, value + sqrt(above)), n, method)


def difference(new: tuple[int, int], old: tuple[int, int], *, minimum: int = MINIMUM, level: float = LEVEL) -> Estimate:
    """Return new share minus old share of two independent samples, each (successes, n).

    Exact limits of each share combined by squares (MOVER as in `stratified_proportion`); n is the smaller
    sample.
    """
    n = min(new[1], old[1])
    method = f"mover clopper-pearson {level:.0%}"
    if n < max(minimum, 1):
        return Estimate.missing(n, method, max(minimum, 1) - n)
    p, q = new[0] / new[1], old[0] / old[1]
    p_low, p_high = exact_limits(*new, level)
    q_low, q_high = exact_limits(*old, level)
    low = p - q - sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    high = p - q + sqrt((p_high - p) ** 2 + (q - q_low) ** 2)
    return Estimate(p - q, max(-1.0, low), min(1.0, high), n, method)


def needed(half_width: float, *, rate: float = 0.5, n: int = 0, level: float = LEVEL) -> int:
    """Return how many more rows than `n` make an interval about +- `half_width` wide when the share is near
    `rate`.

    Normal approximation with Agresti and Coull's four added rows; a plan, not a promise.
    """
    if not 0 < half_width < 1:
        raise InvalidInput(f"A half width of {half_width} is not a share.", "Give a value between 0 and 1.")
    z = float(norm.ppf(1 - (1 - level) / 2))
    return max(0, ceil(z * z * max(rate * (1 - rate), half_width / 4) / half_width**2) - n)
