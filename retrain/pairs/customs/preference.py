"""A cheap preference model, cross-fitted: what other pairs say about which answer of a pair is preferred.

Logistic regression without intercept on the difference of the two answers' words and word pairs (tf-idf, unit length),
of the logarithms of their lengths, and of how many of their words they take up from the prompt; with answers swapped
its margin changes sign. Of a prompt it sees no more than that number, so that no mark in it can teach it anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from retrain.pairs.customs.words import Ids, Numbered, grid

FOLDS = 5
FEWEST_GROUPS = 2 * FOLDS
RIDGE = 1.0
# Fits on different folds are averaged in small lots, where folds matter and time does not: so many pairs in all.
_ROUNDS, _FITTED = 3, 10_000
_LENGTH_WEIGHT, _ECHO_WEIGHT = 0.3, 0.3
_PHRASE, _FEWEST, _LARGEST = 2, 3, 0.5
# Margins are then within about 0.005 of the best fit's.
_NEAR = 1e-3
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Margins:
    """`values`: log-odds, for each pair, that its label is right, as the other folds' models say; calibrated by one
    slope over the lot. `accuracy`: the share of pairs whose margin is above 0, ties one half."""

    values: Floats
    accuracy: float


def cross_fit(given: sparse.csr_matrix, groups: NDArray[np.int64], *, seed: int) -> Margins | None:
    """Fit on all folds but one and score that one; a group is never on both sides. None below FEWEST_GROUPS.

    `given` are the pairs' features.
    """
    number = int(groups.max()) + 1 if len(groups) else 0
    if number < FEWEST_GROUPS:
        return None
    margins = np.zeros(len(groups))
    rounds = min(_ROUNDS, 1 + _FITTED // (2 * len(groups)))
    for step in range(rounds):
        fold = deal(groups, FOLDS, seed=seed + step)
        for held in range(FOLDS):
            margins[fold == held] += given[fold == held] @ fit(given[fold != held]) / rounds
    return Margins(calibrate(margins), float((np.sign(margins) + 1).mean() / 2))


def deal(groups: NDArray[np.int64], folds: int, *, seed: int) -> NDArray[np.int64]:
    """The fold of each pair: whole groups are dealt out, the largest first to the fold that has least."""
    counts = np.bincount(groups)
    places, sizes = np.zeros(len(counts), np.int64), np.zeros(folds)
    for group in np.lexsort((np.random.default_rng(seed).random(len(counts)), -counts)):
        places[group] = sizes.argmin()
        sizes[places[group]] += counts[group]
    return places[groups]


def features(prompts: Numbered, chosen: Numbered, rejected: Numbered) -> sparse.csr_matrix:
    """(pairs, phrases + 2): how the chosen answer differs from the rejected one."""
    pairs = len(chosen.rows)
    held, _ = grid([*chosen.rows, *rejected.rows], _PHRASE)
    counts = np.asarray(held.sum(0)).ravel()
    kept = np.flatnonzero((counts >= _FEWEST) & (counts <= _LARGEST * 2 * pairs))
    weighed = held[:, kept].astype(np.float64) @ sparse.diags(np.log(2 * pairs / counts[kept]))
    norms = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)).ravel())
    unit = (sparse.diags(1 / np.maximum(norms, 1e-9)) @ weighed).tocsr()
    lengths = np.log1p([len(row) for row in [*chosen.rows, *rejected.rows]])
    echoed = np.array([_echo(*rows) for rows in zip([*chosen.rows, *rejected.rows], prompts.rows * 2, strict=True)])
    dense = np.column_stack([_LENGTH_WEIGHT * lengths, _ECHO_WEIGHT * echoed])
    return sparse.csr_matrix(
        sparse.hstack([unit[:pairs] - unit[pairs:], sparse.csr_matrix(dense[:pairs] - dense[pairs:])])
    )


def _echo(answer: Ids, prompt: Ids) -> float:
    """How many of the prompt's words an answer takes up, over the root of how many different ones it has."""
    words = np.unique(answer)
    return float(np.isin(words, prompt).sum() / np.sqrt(1 + len(words)))


def fit(given: sparse.csr_matrix) -> Floats:
    """The weights under which the rows of `given` are most probably preferred, with a ridge of RIDGE.

    Newton's method with conjugate gradients: tens of passes over the rows, and little work on the weights themselves.
    """
    turned = given.T.tocsr()

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0, -(given @ weights)).sum() + RIDGE * weights @ weights / 2)

    def slope(weights: Floats) -> Floats:
        return np.asarray(RIDGE * weights - turned @ expit(-(given @ weights)))

    def curvature(weights: Floats, along: Floats) -> Floats:
        odd = expit(-(given @ weights))
        return np.asarray(RIDGE * along + turned @ (odd * (1 - odd) * (given @ along)))

    start = np.zeros(given.shape[1])
    found = minimize(loss, start, jac=slope, hessp=curvature, method="Newton-CG", options={"xtol": _NEAR})
    return np.asarray(found.x)


def calibrate(margins: Floats) -> Floats:
    """Margins times the slope from 0 that makes them log-odds of the labels at hand (Platt, one parameter)."""
    scale = float(np.abs(margins).mean()) or 1.0

    def loss(slope: Floats) -> float:
        return float(np.logaddexp(0, -slope[0] * margins / scale).sum() + slope[0] ** 2 / 2)

    found = minimize(loss, np.ones(1), bounds=[(0.0, None)], method="L-BFGS-B")
    return np.asarray(margins * float(found.x[0]) / scale)
