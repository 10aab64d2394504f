"""The largest of several shares of the same rows, with limits that hold for it whichever it is."""

import numpy as np
from numpy.typing import ArrayLike

from core.types import Estimate
from estimates.means import Floats, hull
from estimates.proportions import LEVEL, MINIMUM


def largest_share(
    totals: ArrayLike,
    squares: ArrayLike,
    products: ArrayLike,
    *,
    units: int,
    size: float,
    squared_size: float,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the largest of the shares sum(y) / sum(size) over independent units, with an interval; n counts units.

    Each unit has a size and a total y of every kind, of at most its size. Given are sums over units: of the totals, of
    their squares and of their products with the size, an entry a kind; and of the sizes and their squares. The
    limits of each share are those of `estimates.means.mean` with the units as clusters, their levels raised by
    Bonferroni so that all hold together: then the largest true share lies between the largest lower and the largest
    upper limit. Missing below `minimum` effective units (Kish).
    """
    y, y2, yn = (np.asarray(sums, float).ravel() for sums in (totals, squares, products))
    method = f"largest of {y.size}, clustered student and agresti-coull {level:.0%} together"
    effective = size**2 / squared_size if squared_size > 0 else 0.0
    if effective < max(minimum, 2):
        missing = max(minimum, 2) - effective
        return Estimate.missing(units, method, int(np.ceil(missing * (units / effective if effective else 1.0))))
    shares: Floats = y / size
    residuals = np.maximum(y2 - 2 * shares * yn + shares**2 * squared_size, 0.0)
    low, high = hull(shares, residuals / size**2 * effective, effective, (1 - level) / 2 / y.size)
    return Estimate(float(shares.max()), float(low.max()), float(high.max()), units, method)
