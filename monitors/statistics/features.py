"""Features of a prompt in which a small shift of its topics adds up: principal components and soft topics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

COMPONENTS = 64
TOPICS = 40
ROUNDS = 10
# Softmax of cosines at this factor: a prompt belongs mostly to its nearest topic and a little to its
# neighbours.
SHARPNESS = 20.0
# Spread below this is the encoder's rounding (about 1e-7 in fp32), not a difference between prompts.
NOISE = 1e-3


@dataclass(frozen=True, slots=True)
class Features:
    """Fixed linear components and topic centres; `balance` gives both blocks the same total variance."""

    centre: Rows
    components: Rows
    topics: Rows
    balance: NDArray[np.float64]

    @classmethod
    def fit(cls, embeddings: Rows, rng: np.random.Generator) -> Self:
        """Return the features that unit embeddings (n, d) fix; do not calibrate on them."""
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
        """Return everything needed to restore the features."""
        return {"centre": self.centre, "components": self.components, "topics": self.topics, "balance": self.balance}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the features that `arrays` describe."""
        return cls(arrays["centre"], arrays["components"], arrays["topics"], arrays["balance"])


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
