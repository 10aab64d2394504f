"""Features of a prompt whose mean moves when the traffic does: its topics, or its meaning as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating[Any]]

COMPONENTS = 64
TOPICS = 40
DIRECTIONS = 192
ROUNDS = 10
# Softmax of cosines at this factor: a prompt belongs mostly to its nearest topic and a little to its
# neighbours.
SHARPNESS = 20.0
# Spread below this is the encoder's rounding (about 1e-7 in fp32), not a difference between prompts.
NOISE = 1e-3


class Features(Protocol):
    """What a part of the reference fixes and every later prompt is described by; restored from `arrays`."""

    def apply(self, embeddings: Rows) -> Rows:
        """Return the features of unit embeddings (n, d), one row a prompt."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything needed to restore the features."""
        ...


@dataclass(frozen=True, slots=True)
class Topics:
    """Fixed linear components and topic centres; `balance` gives both blocks the same total variance.

    In these a change of the shares of known topics adds up.
    """

    centre: Rows
    components: Rows
    topics: Rows
    balance: NDArray[np.float64]

    @classmethod
    def fit(cls, embeddings: Rows, rng: np.random.Generator) -> Self:
        """Return the topics that unit embeddings (n, d) fix; do not calibrate on them."""
        n = len(embeddings)
        centre = embeddings.mean(axis=0)
        _, spread, axes = np.linalg.svd(embeddings - centre, full_matrices=False)
        keep = min(COMPONENTS, n // 3, int(np.count_nonzero(spread > NOISE * np.sqrt(n))))
        # Partly whitened: between trusting the few large directions and trusting all of them alike.
        weight = 1 / np.sqrt(spread[:keep])
        components = (axes[:keep] * weight[:, None]).astype(np.float32)
        topics = _centres(embeddings, max(2, min(TOPICS, n // 5)), rng)
        raw = cls(centre, components, topics, np.ones(2))
        values = raw.apply(embeddings)
        totals = [float(block.var(axis=0).sum()) for block in (values[:, :keep], values[:, keep:])]
        return cls(centre, components, topics, np.array([1 / max(np.sqrt(t), NOISE) for t in totals]))

    def apply(self, embeddings: Rows) -> Rows:
        """Return the features of unit embeddings (n, d): shape (n, components + topics)."""
        linear = (embeddings - self.centre) @ self.components.T
        near = np.exp(SHARPNESS * (embeddings @ self.topics.T - 1))
        near /= near.sum(axis=1, keepdims=True)
        return np.hstack([linear * self.balance[0], near * self.balance[1]]).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything needed to restore the topics."""
        return {"centre": self.centre, "components": self.components, "topics": self.topics, "balance": self.balance}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the topics that `arrays` describe."""
        return cls(arrays["centre"], arrays["components"], arrays["topics"], arrays["balance"])


@dataclass(frozen=True, slots=True)
class Directions:
    """The embedding along its principal directions, each divided by the root of its variance plus the mean variance.

    In these a small move of many prompts adds up. Most of the variance lies in few directions, which drown such a move
    in the others; whitened altogether, directions of which the reference says nothing would count most. The mean
    variance added to each lies between (a ridge, as of a covariance shrunk toward its mean: Ledoit and Wolf, Journal of
    Multivariate Analysis 88, 2004).
    """

    centre: Rows
    axes: Rows

    @classmethod
    def fit(cls, embeddings: Rows, rng: np.random.Generator) -> Self:
        """Return the directions that unit embeddings (n, d) fix; do not calibrate on them. Draws nothing."""
        centre = embeddings.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov(embeddings, rowvar=False, dtype=np.float64))
        ridge = float(variances.mean())
        variances, axes = np.maximum(variances[::-1][:DIRECTIONS], 0.0), axes[:, ::-1][:, :DIRECTIONS]
        if variances.sum() < NOISE**2:
            return cls(centre, np.zeros(axes.shape, np.float32))
        total = float((variances / (variances + ridge)).sum())
        return cls(centre, (axes / np.sqrt(total * (variances + ridge))).astype(np.float32))

    def apply(self, embeddings: Rows) -> Rows:
        """Return the features of unit embeddings (n, d): shape (n, directions), to the precision of 16 bits."""
        return ((embeddings - self.centre) @ self.axes).astype(np.float16)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything needed to restore the directions."""
        return {"centre": self.centre, "axes": self.axes}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the directions that `arrays` describe."""
        return cls(arrays["centre"], arrays["axes"])


def _centres(rows: Rows, k: int, rng: np.random.Generator) -> Rows:
    """Spherical k-means (Dhillon and Modha 2001) from random rows; an empty centre keeps its place."""
    centres = rows[rng.permutation(len(rows))[:k]].copy()
    for _ in range(ROUNDS):
        nearest = np.argmax(rows @ centres.T, axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, rows)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norms > 0, sums / np.where(norms > 0, norms, 1), centres).astype(np.float32)
    return centres
