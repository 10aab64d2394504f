"""Intervals for means of bounded values: plain, weighted by inclusion probability, clustered, or of pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from core.errors import InvalidInput
from core.types import Estimate
from estimates.proportions import LEVEL, MINIMUM, proportion

Floats = NDArray[np.float64]


def mean(
    values: ArrayLike,
    *,
    low: float,
    high: float,
    probabilities: ArrayLike | None = None,
    clusters: Sequence[Any] | None = None,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the mean of values that lie between `low` and `high`, with an interval; n counts the values.

    `probabilities` are the rows' inclusion probabilities: the mean is then Hájek's weighted one and
    estimates the population's. `clusters` names the independent unit of each row (a conversation, a question
    with its twins): rows of one unit count as one draw. Variance by linearisation of the ratio over units
    (Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 5.7). The interval is the hull of
    Student's and of Agresti and Coull's with z^2 / 2 pseudo-units at each bound, sized by Kish's effective
    number of units, so that a sample without any rare value still says what may be missing. Missing below
    `minimum` effective units. Raises InvalidInput on values outside the bounds or probabilities outside (0,
    1].
    """
    if not high > low:
        raise InvalidInput(f"No value lies between {low} and {high}.", "Give the smallest and the largest value.")
    y = np.asarray(values, float)
    if y.size and not (np.isfinite(y).all() and y.min() >= low and y.max() <= high):
        raise InvalidInput(f"A value lies outside {low} to {high}.", "Give the bounds that hold for every value.")
    weights = np.ones(len(y)) if probabilities is None else _weights(probabilities, len(y))
    totals, sizes = sum_by_unit((y - low) / (high - low), weights, clusters)
    kind = ("weighted " if probabilities is not None else "") + ("clustered " if clusters is not None else "")
    method = f"{kind}student and agresti-coull {100 * level:.4g}%"
    units = effective_units(sizes)
    if units < max(minimum, 2):
        # Rows to ask for: at the present ratio of rows to effective units.
        scale = len(y) / units if units else 1.0
        return Estimate.missing(len(y), method, int(np.ceil((max(minimum, 2) - units) * scale)))
    value, below, above = _limits(totals, sizes, units, level)
    span = high - low
    return Estimate(low + span * value, low + span * below, low + span * above, len(y), method)


def paired_difference(
    new: ArrayLike,
    old: ArrayLike,
    *,
    low: float = 0.0,
    high: float = 1.0,
    clusters: Sequence[Any] | None = None,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the mean of new - old over the same items, each between `low` and `high`, with an interval.

    Pairs take the items' own difficulty out of the error; `clusters` groups items that share a source
    (Miller, Adding Error Bars to Evals, 2024, sections 2.2 and 4). Otherwise as `mean`.
    """
    a, b = np.asarray(new, float), np.asarray(old, float)
    if a.shape != b.shape:
        raise InvalidInput(f"{a.size} new values cannot be paired with {b.size} old ones.", "Score the same items.")
    span = high - low
    return mean(a - b, low=-span, high=span, clusters=clusters, minimum=minimum, level=level)


def share(hits: ArrayLike, clusters: Sequence[Any]) -> Estimate:
    """Return the share of hits (1, or 0) with an interval that takes the rows of one of `clusters` as one draw.

    Exact (Clopper and Pearson) where no two rows share a cluster, otherwise `mean`'s.
    """
    told = np.asarray(hits, float)
    if len(set(clusters)) == len(told):
        return proportion(int(told.sum()), len(told))
    return mean(told, low=0.0, high=1.0, clusters=clusters)


def effective_units(sizes: ArrayLike) -> float:
    """Return Kish's effective number of units, (sum of sizes)^2 / sum of squares; 0 for none."""
    s = np.asarray(sizes, float)
    return float(s.sum() ** 2 / (s**2).sum()) if s.size else 0.0


def _weights(probabilities: ArrayLike, n: int) -> Floats:
    p = np.asarray(probabilities, float)
    if p.shape != (n,) or not ((p > 0) & (p <= 1)).all():
        raise InvalidInput(
            f"{p.size} inclusion probabilities do not fit {n} values.", "Give one for each value, above 0, at most 1."
        )
    return 1 / p


def sum_by_unit(y: Floats, weights: Floats, clusters: Sequence[Any] | None) -> tuple[Floats, Floats]:
    """Return the weighted total and the size (sum of weights) of each independent unit, in order of appearance.

    `y` has a row a value; further axes are kept. Raises InvalidInput unless each row has a cluster's name.
    """
    if clusters is None:
        return (weights * y.T).T, weights
    if len(clusters) != len(y):
        raise InvalidInput(f"{len(clusters)} cluster names for {len(y)} values.", "Give one name for each value.")
    number: dict[Any, int] = {}
    unit = np.array([number.setdefault(c, len(number)) for c in clusters], int)
    totals, sizes = np.zeros((len(number), *y.shape[1:])), np.zeros(len(number))
    np.add.at(totals, unit, (weights * y.T).T)
    np.add.at(sizes, unit, weights)
    return totals, sizes


def _limits(totals: Floats, sizes: Floats, units: float, level: float) -> tuple[float, float, float]:
    """Return value and limits on the scale 0 to 1 from the units' weighted totals and sizes."""
    value = float(totals.sum() / sizes.sum())
    residuals = totals - value * sizes
    # Variance of one effective unit: the linearised variance of the ratio times their number.
    spread = float((residuals**2).sum() / sizes.sum() ** 2) * units
    low, high = hull(np.array([value]), np.array([spread]), units, (1 - level) / 2)
    return value, float(low[0]), float(high[0])


def hull(values: Floats, spreads: Floats, units: float, tails: ArrayLike) -> tuple[Floats, Floats]:
    """Return the one-sided limits of means on the scale 0 to 1, each missed with chance `tails` at most.

    `spreads` are the variances of one of the `units` effective units. The hull of Student's limits and of Agresti
    and Coull's, as `mean` says.
    """
    tail = np.asarray(tails, float)
    quantile = stdtrit(units - 1, 1 - tail)
    student = quantile * np.sqrt(spreads / (units - 1))
    pseudo = ndtri(1 - tail) ** 2 / 2
    n = units + 2 * pseudo
    centre = (units * values + pseudo) / n
    squares = units * (spreads + (values - centre) ** 2) + pseudo * ((1 - centre) ** 2 + centre**2)
    half = quantile * np.sqrt(squares / (n - 1) / n)
    low = np.maximum(0.0, np.minimum(values - student, centre - half))
    high = np.minimum(1.0, np.maximum(values + student, centre + half))
    return low, high
