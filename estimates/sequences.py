"""Confidence sequences: an interval that may be read after every row and still covers at all looks
together.
"""

from collections.abc import Callable
from math import exp, log, pi

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaln

from core.errors import InvalidInput
from core.types import Estimate
from estimates.proportions import LEVEL, MINIMUM


def rate_sequence(successes: int, n: int, *, minimum: int = MINIMUM, level: float = LEVEL) -> Estimate:
    """Return a share with limits that hold at every look together with probability `level`.

    The share must not change over the rows. Mixture martingale with a Beta(1/2, 1/2) prior, inverted
    (Robbins, Annals of Mathematical Statistics 41, 1970; Ville's inequality). About 1.6 times as wide as an
    interval for one look.
    """
    if not 0 <= successes <= n:
        raise InvalidInput(f"{successes} of {n} rows is not a share.", "Count successes among the rows counted.")
    method = f"confidence sequence {level:.0%}, every look"
    if n < max(minimum, 1):
        return Estimate.missing(n, method, max(minimum, 1) - n)
    value = successes / n
    bound = log(1 / (1 - level)) - float(betaln(successes + 0.5, n - successes + 0.5) - betaln(0.5, 0.5))

    def outside(p: float) -> bool:
        return -_log_likelihood(successes, n, p) >= bound

    low = 0.0 if successes == 0 else _edge(value, exp(-700), outside)
    high = 1.0 if successes == n else _edge(value, 1 - 1e-16, outside)
    return Estimate(value, low, high, n, method)


def look_level(look: int, level: float = LEVEL) -> float:
    """Return the level of the interval at the `look`-th look, from 1, so that all looks together hold at `level`.

    For intervals of windows, whose truth may move and which therefore cannot be added up: of what may be missed, look k
    is given 6 / (pi k)^2, which adds up to the whole over any number of looks (Bonferroni).
    """
    if look < 1:
        raise InvalidInput(f"There is no look {look}.", "Count looks from 1.")
    return 1 - (1 - level) * 6 / (pi * look) ** 2


# Stakes that the bets are spread over, as shares of the largest stake that cannot lose everything.
STAKES = (np.arange(24) + 0.5) / 24


def mean_sequence(
    values: ArrayLike, *, low: float, high: float, minimum: int = MINIMUM, level: float = LEVEL
) -> Estimate:
    """Return the mean of values between `low` and `high` with limits that hold at every look together.

    `values` are in the order in which they came; given those before it, each has the mean that is asked for.
    A value of the mean is left out once a fair bet against it has multiplied its stake 2 / (1 - level)
    times; bets of fixed shares are mixed evenly on each side (Waudby-Smith and Ramdas, Estimating means of
    bounded random variables by betting, 2024, section 4; Ville's inequality). Narrow where most values are
    equal, as differences of paired answers are. Missing below `minimum` values. Raises InvalidInput on
    values outside the bounds.
    """
    y = np.asarray(values, float)
    if not high > low or (y.size and not (np.isfinite(y).all() and y.min() >= low and y.max() <= high)):
        raise InvalidInput(f"A value lies outside {low} to {high}.", "Give the bounds that hold for every value.")
    method = f"betting sequence {level:.2%}, every look"
    if y.size < max(minimum, 1):
        return Estimate.missing(y.size, method, max(minimum, 1) - y.size)
    span = high - low
    share = (y - low) / span
    value, wanted = float(share.mean()), log(2 / (1 - level))
    distinct, counts = np.unique(share, return_counts=True)
    below = _bet_limit(distinct, counts, wanted, value)
    above = 1 - _bet_limit(1 - distinct, counts, wanted, 1 - value)
    return Estimate(low + span * value, low + span * below, low + span * above, y.size, method)


def _bet_limit(share: np.ndarray, counts: np.ndarray, wanted: float, value: float) -> float:
    """The largest mean, at most `value`, that bets on larger values refute; wealth falls as the mean grows."""

    def refuted(mean: float) -> bool:
        gains = np.log1p(STAKES[:, None] * (share / mean - 1)) @ counts
        return float(np.logaddexp.reduce(gains)) - log(len(STAKES)) >= wanted

    return _edge(value, 1e-9, refuted, 1e-9) if value > 1e-9 and refuted(1e-9) else 0.0


def _log_likelihood(successes: int, n: int, p: float) -> float:
    return (successes * log(p) if successes else 0.0) + ((n - successes) * log(1 - p) if successes < n else 0.0)


def _edge(inside: float, outer: float, outside: Callable[[float], bool], width: float = 0.0) -> float:
    """A point outside, at most `width` (or one step of a float) from one inside."""
    for _ in range(200):
        middle = (inside + outer) / 2
        if middle in (inside, outer) or abs(outer - inside) <= width:
            break
        if outside(middle):
            outer = middle
        else:
            inside = middle
    return outer
