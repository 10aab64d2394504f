"""Lays embedded texts out on a plane so that near ones stay near: for people to look at, never for a decision."""

from __future__ import annotations

from typing import Any

PERPLEXITY = 30.0
ROUNDS = 500
SIDE = 1000


def plane(vectors: Any, *, seed: int) -> Any:
    """Whole coordinates (n, 2) from 0 to SIDE for the unit vectors (n, d): t-SNE (van der Maaten and Hinton 2008).

    It begins at the two main components and is the same again for the same vectors and seed. Distances between groups
    say little; who stands beside whom does.
    """
    import numpy as np
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows = np.asarray(vectors, np.float32)
    if len(rows) < 4:
        return np.stack([np.arange(len(rows)) * SIDE // 3, np.zeros(len(rows), int)], axis=1)
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    layout = TSNE(2, perplexity=perplexity, init=_start(rows), max_iter=ROUNDS, random_state=seed, n_jobs=1)
    with threadpool_limits(1):
        places = layout.fit_transform(rows)
    places -= places.min(axis=0)
    return np.rint(places / max(float(places.max()), 1e-9) * SIDE).astype(int)


def _start(rows: Any) -> Any:
    """The first two principal components (n, 2), as small as t-SNE wants its start (Kobak and Berens 2019)."""
    import numpy as np

    left, sizes, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    two = left[:, :2] * sizes[:2]
    return (two / max(float(two[:, 0].std()), 1e-9) * 1e-4).astype(np.float32)
