"""Which of many groups of rows hold more or fewer marked rows than chance, with p-values that hold for all together."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from estimates.means import Floats

DRAWS = 1999
BLOCK = 100
# Two tables of the same probability differ by rounding; those of different probability differ by far more.
TIED = 1 + 1e-7

Indices = NDArray[np.int64]


def p_values(
    order: Indices, starts: Indices, sizes: Indices, marked: NDArray[np.bool_], *, seed: int, draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """Return each group's p-value alone, and corrected for all groups.

    `marked` has an entry a row. A group is the rows in `order` from its start on, as many as its size (at least 1);
    groups may overlap and nest. They must not depend on the marks: then, where marks fall on rows by chance, the
    probability that any corrected p-value is at most a is at most a.

    Alone: Fisher's exact test, two-sided. Corrected: the step-down min-P procedure of Westfall and Young (1993), by the
    algorithm of Ge, Dudoit and Speed (2003), over `draws` permutations of the marks. It takes the law of the smallest
    p-value as it is, so that groups that share rows, or hold too few to be significant, cost little. The draws count
    the marks that were seen as one of them (Phipson and Smyth 2010), so no corrected p-value is below 1 / (draws + 1).
    """
    if not len(sizes):
        return np.empty(0), np.empty(0)
    distinct, which = np.unique(sizes, return_inverse=True)
    tables = np.concatenate([_fisher(int(size), int(marked.sum()), len(marked)) for size in distinct])
    table = np.concatenate([[0], np.cumsum(distinct + 1)[:-1]])[which]

    def alone(marks: NDArray[np.bool_]) -> Floats:
        sums = np.zeros((len(marks), len(order) + 1), np.int32)
        np.cumsum(marks[:, order], axis=1, out=sums[:, 1:])
        found: Floats = tables[table + sums[:, starts + sizes] - sums[:, starts]]
        return found

    seen = alone(marked[None])[0]
    clearest = np.argsort(seen, kind="stable")
    rng = np.random.default_rng(seed)
    reached = np.ones(len(seen))
    for first in range(0, draws, BLOCK):
        marks = np.broadcast_to(marked, (min(BLOCK, draws - first), len(marked)))
        drawn = alone(rng.permuted(marks, axis=1))[:, clearest]
        least = np.minimum.accumulate(drawn[:, ::-1], axis=1)[:, ::-1]  # of this group and all less clear ones
        reached += (least <= seen[clearest] * TIED).sum(axis=0)
    corrected = np.empty(len(seen))
    corrected[clearest] = np.maximum.accumulate(reached / (draws + 1))
    return seen, corrected


def _fisher(size: int, marked: int, of: int) -> Floats:
    """Two-sided p-values of 0 to `size` marked rows in a group: hypergeometric, of what is no likelier."""
    inside = np.arange(size + 1)
    logs = _choose(marked, inside) + _choose(of - marked, size - inside) - _choose(of, np.array(size))
    probability = np.exp(logs)
    rising = np.sort(probability)
    p: Floats = np.minimum(np.cumsum(rising)[np.searchsorted(rising, probability * TIED, side="right") - 1], 1)
    return p


def _choose(n: int, k: NDArray[np.int64]) -> Floats:
    """Logarithms of the binomial coefficients, -inf where k > n."""
    logs: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return logs
