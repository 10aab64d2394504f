"""A cheap preference model, cross-fitted: what pairs of other prompts say about which answer of a pair is preferred.

Logistic regression without intercept on the difference of the two answers' words and word pairs (tf-idf, unit length)
and of the logarithms of their lengths; with answers swapped its margin changes sign. It reads the answers only, so that
no mark in a prompt can teach it anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from retrain.pairs.customs.words import Numbered, grid

FOLDS = 5
RIDGE = 1.0
_LENGTH_WEIGHT = 0.3
_PHRASE, _FEWEST, _LARGEST = 2, 3, 0.5
_STEPS = 60
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Margins:
    """`values`: log-odds, for each pair, that its label is right, as the other folds' models say; calibrated by one
    slope over the lot. `accuracy`: the share of pairs whose margin is above 0, ties one half."""

    values: Floats
    accuracy: float


def cross_fit(chosen: Numbered, rejected: Numbered, groups: NDArray[np.int64], *, seed: int) -> Margins | None:
    """Fit on all folds but one and score that one; a group of prompts is never on both sides. None below 2 * FOLDS."""
    number = int(groups.max()) + 1 if len(groups) else 0
    if number < 2 * FOLDS:
        return None
    given = features(chosen, rejected)
    # Whole groups are dealt out, the largest first to the fold that has least.
    folds, sizes = np.zeros(number, np.int64), np.zeros(FOLDS)
    counts = np.bincount(groups, minlength=number)
    for group in np.lexsort((np.random.default_rng(seed).random(number), -counts)):
        folds[group] = sizes.argmin()
        sizes[folds[group]] += counts[group]
    fold = folds[groups]
    margins = np.zeros(len(groups))
    for held in range(FOLDS):
        margins[fold == held] = given[fold == held] @ fit(given[fold != held])
    return Margins(calibrate(margins), float((np.sign(margins) + 1).mean() / 2))


def features(chosen: Numbered, rejected: Numbered) -> sparse.csr_matrix:
    """(pairs, phrases + 1): how the chosen answer differs from the rejected one."""
    pairs = len(chosen.rows)
    held, _ = grid([*chosen.rows, *rejected.rows], _PHRASE)
    counts = np.asarray(held.sum(0)).ravel()
    kept = np.flatnonzero((counts >= _FEWEST) & (counts <= _LARGEST * 2 * pairs))
    weighed = held[:, kept].astype(np.float64) @ sparse.diags(np.log(2 * pairs / counts[kept]))
    norms = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)).ravel())
    unit = sparse.diags(1 / np.maximum(norms, 1e-9)) @ weighed
    lengths = np.log1p([len(row) for row in [*chosen.rows, *rejected.rows]])
    longer = _LENGTH_WEIGHT * (lengths[:pairs] - lengths[pairs:])
    unit = unit.tocsr()
    return sparse.csr_matrix(sparse.hstack([unit[:pairs] - unit[pairs:], sparse.csr_matrix(longer[:, None])]))


def fit(given: sparse.csr_matrix) -> Floats:
    """The weights under which the rows of `given` are most probably preferred, with a ridge of RIDGE."""
    turned = given.T.tocsr()

    def loss(weights: Floats) -> tuple[float, Floats]:
        margins = given @ weights
        value = float(np.logaddexp(0, -margins).sum() + RIDGE * weights @ weights / 2)
        return value, RIDGE * weights - turned @ expit(-margins)

    found = minimize(loss, np.zeros(given.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return np.asarray(found.x)


def calibrate(margins: Floats) -> Floats:
    """Margins times the slope from 0 that makes them log-odds of the labels at hand (Platt, one parameter)."""
    scale = float(np.abs(margins).mean()) or 1.0

    def loss(slope: Floats) -> float:
        return float(np.logaddexp(0, -slope[0] * margins / scale).sum() + slope[0] ** 2 / 2)

    found = minimize(loss, np.ones(1), bounds=[(0.0, None)], method="L-BFGS-B")
    return np.asarray(margins * float(found.x[0]) / scale)
