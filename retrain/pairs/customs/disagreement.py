"""Which groups of pairs (a phrase's, a contributor's) have labels that the other prompts' preference model contradicts.

A label that was turned round keeps its answers, so its margin under the cross-fitted model changes sign. Single pairs
say little; a group whose margins are low together says a lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

DRAWS = 400
# A single pair may not carry a group: margins are cut at this many typical ones.
_CUT = 3.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tested:
    """For each group: `z` (high: contradicted), `chance` that the highest z of groups drawn at random is as high
    (Westfall and Young 1993, single step, which also bounds the false discovery rate), and `gain`: the
    log-likelihood won by reading its labels as turned round. Margins below the mean are no disagreement yet: only with
    a gain above 0 do the labels look turned."""

    z: Floats
    chance: Floats
    gain: Floats


def weigh(held: sparse.csr_matrix, margins: Floats, clusters: NDArray[np.int64], *, seed: int) -> Tested:
    """Weigh every column of `held` (pairs, groups; 0 or 1) at once, over `clusters` of pairs that go together.

    Under the null hypothesis a group's margins lie about the mean as others do. Half of the draws give each cluster's
    residuals a random sign, which keeps what is alike within a cluster (the wild bootstrap of Cameron, Gelbach and
    Miller 2008); the others deal the residuals out anew, which keeps how lopsided they are. The worse chance counts.
    """
    cut = _CUT * float(np.median(np.abs(margins))) or 1.0
    residuals = np.clip(margins, -cut, cut)
    residuals = residuals - residuals.mean()
    number = int(clusters.max()) + 1
    places = (clusters, np.arange(len(clusters)))
    counted = (sparse.csr_matrix((np.ones(len(clusters)), places), shape=(number, len(clusters))) @ held).tocsr()
    summed = (sparse.csr_matrix((residuals, places), shape=(number, len(clusters))) @ held.astype(np.float64)).tocsr()
    alike = _correlation(residuals, clusters)
    squares = np.asarray(counted.multiply(counted).sum(0)).ravel()
    sizes = np.asarray(counted.sum(0)).ravel()
    scale = np.sqrt(np.maximum(residuals.var() * ((1 - alike) * sizes + alike * squares), 1e-12))
    turned = summed.T.tocsr()
    z = -(turned @ np.ones(number)) / scale
    rng = np.random.default_rng(seed)
    signed = [((turned @ row) / scale).max() for row in rng.choice(np.array([-1.0, 1.0]), (DRAWS, number))]
    members, alone = held.T.tocsr().astype(np.float64), np.sqrt(np.maximum(residuals.var() * sizes, 1e-12))
    dealt = [(-(members @ rng.permutation(residuals)) / alone).max() for _ in range(DRAWS)]
    z = z / _spread(z)
    chance = np.maximum(_chance(signed, z), _chance(dealt, z))
    return Tested(z, chance, -np.asarray(held.T @ margins).ravel())


def testable(held: sparse.csr_matrix, clusters: NDArray[np.int64], *, fewest: int, level: float) -> NDArray[np.int64]:
    """The columns of `held` in at least `fewest` pairs that could pass `level`, were all their labels turned round.

    By random signs a group in c clusters has a chance of at least 2 ** -c, whatever its margins: with few clusters it
    can never be found, and would only raise the bar for others. Tarone (1990) leaves out as many as may be without a
    look at the labels; c is the number of equal clusters that would be as varied (Kish).
    """
    number = int(clusters.max()) + 1 if len(clusters) else 0
    grouped = sparse.csr_matrix((np.ones(len(clusters)), (clusters, np.arange(len(clusters)))), (number, len(clusters)))
    counted = grouped @ held
    sizes, squares = np.asarray(counted.sum(0)).ravel(), np.asarray(counted.multiply(counted).sum(0)).ravel()
    least = np.exp2(-(sizes**2) / np.maximum(squares, 1))
    least[sizes < fewest] = 1.0
    ordered = np.sort(least)
    # The first number of tests under which no more than so many can pass.
    tests = 1
    while np.searchsorted(ordered, level / tests, side="right") > tests:
        tests += 1
    return np.flatnonzero(least <= level / tests)


def _chance(drawn: Sequence[float], z: Floats) -> Floats:
    """The share of draws at least as high as each z, the observation itself counted as one of them."""
    above = len(drawn) - np.searchsorted(np.sort(drawn), z, side="left")
    return np.asarray((1 + above) / (1 + len(drawn)))


def _correlation(residuals: Floats, clusters: NDArray[np.int64]) -> float:
    """How alike two pairs of one cluster are: the mean product of their residuals, over the variance."""
    sums, sizes = np.bincount(clusters, residuals), np.bincount(clusters)
    couples = float((sizes * (sizes - 1)).sum())
    if couples == 0 or residuals.var() == 0:
        return 0.0
    return float(np.clip(((sums**2).sum() - (residuals**2).sum()) / couples / residuals.var(), 0, 1))


def _spread(z: Floats) -> float:
    """How much wider than by chance the middle half of many z lie (Efron 2004): topics differ without any poison."""
    if len(z) < 100:
        return 1.0
    low, high = np.quantile(z, [0.25, 0.75])
    return max(1.0, float(high - low) / 1.349)


def turned_share(margins: Floats) -> float:
    """The share of a group's labels that were turned round, by maximum likelihood (EM from one half)."""
    odds, share = np.exp(np.clip(-margins, -30, 30)), 0.5
    for _ in range(100):
        share = float((share * odds / (1 - share + share * odds)).mean())
    return share


def turned_chance(margins: Floats, share: float) -> Floats:
    """For each pair of a group of which `share` was turned round, the probability that it is one of those."""
    odds = np.exp(np.clip(-margins, -30, 30))
    return np.asarray(share * odds / (1 - share + share * odds))
