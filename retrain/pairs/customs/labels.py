"""How many of a lot's labels are turned round at random, and how far each one can be believed.

A model of answers that knows a lot is contradicted by turned labels even where it is sure. So the chance that a label
agrees with it does not rise to 1, but stays at 1 minus the share turned (Copas 1988, Binary regression models for
contaminated data, section 2). Where the model knows little, no share is told from none, and every label is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import chi2

LEVEL = 0.05
# Shares that are tried; at one half labels would say nothing.
_SHARES = np.linspace(0.0, 0.48, 25)
# The logarithm of a slope stays within this; a weak pull to 0 keeps slopes apart that the margins do not tell apart.
_STEEP, _PULL, _TINY = 5.0, 1e-3, 1e-300
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labels:
    """`share` of the labels that look turned round, and `least`, its lower limit at LEVEL: 0 where nothing shows.

    `right`: for each pair the probability that its label is right if no more than `least` are turned, shape [pairs].
    """

    share: float
    least: float
    right: Floats


@dataclass(frozen=True, slots=True)
class _Fit:
    """The logarithms of the slopes, shape [views], and the log-likelihood of each label, shape [pairs]."""

    logs: Floats
    likelihoods: Floats


def judge(views: Sequence[Floats], clusters: NDArray[np.int64]) -> Labels:
    """Weigh each label by margins (`views`, each of shape [pairs], high: the label looks right) fitted without it.

    A view may be NaN where it says nothing of a pair; at least one says something of every pair. The lower limit is
    where the profile likelihood, divided by how much more it varies between `clusters` than between as many pairs on
    their own, falls significantly below its best (one-sided).
    """
    complete = fill(np.column_stack(views))
    scaled = complete / np.maximum(np.abs(complete).mean(0), _TINY)
    fits: list[_Fit] = []
    for share in _SHARES:
        starts = [np.zeros(scaled.shape[1]), *([fits[-1].logs] if fits else [])]
        fits.append(_fit(scaled, float(share), starts))
    profile = np.array([fit.likelihoods.sum() for fit in fits])
    best = int(profile.argmax())
    gains = fits[best].likelihoods - fits[0].likelihoods
    drop = chi2.isf(2 * LEVEL, 1) / 2 * _inflation(gains, clusters)
    inside = int(np.flatnonzero(profile[best] - profile <= drop)[0])
    if inside == 0:
        return Labels(float(_SHARES[best]), 0.0, _right(scaled, 0.0, fits[0]))
    edge = slice(inside - 1, inside + 1)
    least = float(np.interp(profile[best] - drop, profile[edge], _SHARES[edge]))
    return Labels(float(_SHARES[best]), least, _right(scaled, least, _fit(scaled, least, [fits[inside].logs])))


def fill(views: Floats) -> Floats:
    """`views` [pairs, views] without NaN: where a view says nothing, what the complete ones lead one to expect of it.

    That is its linear regression on them over the pairs of which it says something, without an intercept, as margins
    change sign with their labels. So it adds nothing to what the others say of such a pair, and takes nothing from it;
    a 0 would, as the others' slopes are lower where they share what they know with another view. A view that says
    nothing at all is left out.
    """
    known = ~np.isnan(views)
    whole = views[:, known.all(0)]
    columns = []
    for view, told in zip(views.T, known.T, strict=True):
        if told.any():
            expected = whole @ np.linalg.lstsq(whole[told], view[told], rcond=None)[0]
            columns.append(np.where(told, view, expected))
    return np.column_stack(columns)


def weight(right: float) -> float:
    """How much a pair may teach: the expected gradient of its label, right or turned round, over that of a sure one.

    Never below 0: nothing trains on a label turned round by us.
    """
    return max(0.0, 2 * right - 1)


def _fit(scaled: Floats, share: float, starts: Sequence[Floats]) -> _Fit:
    """The slopes above 0 under which the labels are most probable with `share` of them turned."""

    def loss(logs: Floats) -> tuple[float, Floats]:
        slopes = np.exp(logs)
        agree = expit(scaled @ slopes)
        told = np.maximum(share + (1 - 2 * share) * agree, _TINY)
        slope = -((1 - 2 * share) * agree * (1 - agree) / told) @ scaled * slopes
        return float(-np.log(told).sum() + _PULL * logs @ logs), slope + 2 * _PULL * logs

    bounds = [(-_STEEP, _STEEP)] * scaled.shape[1]
    tried = [minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
    logs = min(tried, key=lambda found: float(found.fun)).x
    return _Fit(logs, np.log(np.maximum(share + (1 - 2 * share) * expit(scaled @ np.exp(logs)), _TINY)))


def _right(scaled: Floats, share: float, fit: _Fit) -> Floats:
    agree = expit(scaled @ np.exp(fit.logs))
    return np.asarray((1 - share) * agree / (share + (1 - 2 * share) * agree))


def _inflation(gains: Floats, clusters: NDArray[np.int64]) -> float:
    """How much more the sum of `gains` varies by cluster than by pair; at least 1."""
    residuals = gains - gains.mean()
    alone = float((residuals**2).sum())
    if alone == 0:
        return 1.0
    return max(1.0, float((np.bincount(clusters, residuals) ** 2).sum()) / alone)
