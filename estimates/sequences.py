"""Confidence sequences: an interval that may be read after every row and still covers at all looks
together.
"""

from collections.abc import Callable
from math import exp, log

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


def _log_likelihood(successes: int, n: int, p: float) -> float:
    return (successes * log(p) if successes else 0.0) + ((n - successes) * log(1 - p) if successes < n else 0.0)


def _edge(inside: float, outer: float, outside: Callable[[float], bool]) -> float:
    for _ in range(200):
        middle = (inside + outer) / 2
        if middle in (inside, outer):
            break
        if outside(middle):
            outer = middle
        else:
            inside = middle
    return outer
