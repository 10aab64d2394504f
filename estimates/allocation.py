"""Events of two arms that a known chance drew: whether they fall on one arm more often than its share."""

from __future__ import annotations

from math import log

import numpy as np

from core.errors import InvalidInput

# How many times as often one arm may have the event: from hardly more often to eleven times, evenly in the logarithm.
RATIOS = np.exp(np.linspace(log(1.1), log(11), 24))


def excess_evidence(hits: int, n: int, share: float) -> float:
    """Return the logarithm of an e-value against "the arm with this `share` of the units has the event no more often".

    `hits` of the `n` events so far fell on that arm. Given that a unit has the event, chance put it on the arm with
    probability at most `share` while its rate is no higher, however both rates move together over time and however
    many units had no event. Likelihood ratios for RATIOS are mixed evenly, so that the probability that the e-value
    ever reaches 1 / alpha is at most alpha (Lindon and Malek, Anytime-valid inference for multinomial count data,
    NeurIPS 2022; Ville's inequality). Raises InvalidInput on counts or a share that cannot be.
    """
    if not 0 <= hits <= n or not 0 < share < 1:
        raise InvalidInput(f"{hits} of {n} events at a share of {share} cannot be.", "Count hits among the events.")
    odds = RATIOS * share + 1 - share
    ratios = hits * np.log(RATIOS / odds) - (n - hits) * np.log(odds)
    return float(np.logaddexp.reduce(ratios)) - log(len(RATIOS))
