"""Which texts lie outside a set of texts: split-conformal p-values of their distance to it, with a false rate kept."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from core.errors import InvalidInput

MINIMUM = 100
NEIGHBOURS = 5
# Distances are told apart to this step, so that rounding in the encoder orders no exact duplicates.
STEP = 1e-4


@dataclass(frozen=True, slots=True)
class Membership:
    """Half of a set measures distance (`anchors`, unit rows), the other half says which distances its own members have.

    `distances` are the calibration half's, ascending, in whole steps.
    """

    anchors: NDArray[np.float32]
    distances: NDArray[np.int64]

    @classmethod
    def fit(cls, members: NDArray[np.float32], *, seed: int) -> Self:
        """Return the set that `members`, embeddings (n, d) of distinct texts, stand for, split at random.

        Raises InvalidInput on fewer than MINIMUM members or values that are not finite.
        """
        rows = _unit(members)
        if len(rows) < MINIMUM:
            raise InvalidInput(f"The set has {len(rows)} texts.", f"{MINIMUM - len(rows)} more are needed.")
        order = np.random.default_rng(seed).permutation(len(rows))
        anchors = rows[order[: len(rows) // 2]]
        return cls(anchors, np.sort(_distances(rows[order[len(rows) // 2 :]], anchors)))

    def p_values(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return for each row of (n, d) the p-value of belonging to the set, small for a text far from it.

        p = (1 + members at least as far) / (members + 1): for a text exchangeable with the members P(p <= a) <= a
        (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; split: Papadopoulos et al. 2002).
        """
        far = _distances(_unit(embeddings), self.anchors)
        at_least = len(self.distances) - np.searchsorted(self.distances, far, side="left")
        p: NDArray[np.float64] = (1 + at_least) / (len(self.distances) + 1)
        return p

    def false_share(self, level: float, confidence: float = 0.975) -> float:
        """Return the share of members flagged at `level` that this calibration half does not exceed at `confidence`.

        Over the draw of the calibration half the share flagged is at most Beta(k, n + 1 - k) with k = floor(level
        (n + 1)) (Vovk, Conditional validity of inductive conformal predictors, 2012).
        """
        n = len(self.distances)
        k = int(np.floor(level * (n + 1) + 1e-9))
        return float(betaincinv(k, n + 1 - k, confidence)) if k else 0.0


def fewest_members(level: float) -> int:
    """Return how many members a set needs before a p-value can be as small as `level`.

    Raises InvalidInput unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise InvalidInput(f"A level of {level:g} is no probability.", "Give a level between 0 and 1.")
    return 2 * ceil(1 / level)


def foreign_share(flagged_low: float, false_share: float) -> float:
    """Return a lower limit (95 %) of the share of texts from elsewhere.

    `flagged_low` is a lower limit of the share flagged, `false_share` an upper limit of the share of members flagged,
    each at 97.5 % or better. With a share f from elsewhere at most (1 - f) false_share + f are flagged: solved for f.
    """
    return max(0.0, (flagged_low - false_share) / (1 - false_share))


def _unit(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = np.asarray(embeddings, np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InvalidInput(
            "An embedding is no row of finite numbers.", "Check the encoder, then run the monitor again."
        )
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def _distances(rows: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.int64]:
    """The mean cosine distance of each row to its nearest anchors, in whole steps."""
    cosines = rows @ anchors.T
    k = min(NEIGHBOURS, cosines.shape[1])
    nearest = np.partition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]
    steps: NDArray[np.int64] = np.rint((1 - nearest.mean(axis=1, dtype=np.float64)) / STEP).astype(np.int64)
    return steps
