"""Prompts about the same, whatever their words: a trigger may be a topic or a manner of asking, not a phrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from retrain.pairs.customs.words import Numbered, grams, grid

# Embeddings (texts, width), unit length, of the texts.
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
# How many topics: coarse and fine ones, since nobody knows how wide a trigger is.
COUNTS = (8, 16, 32, 64)
_PER_TOPIC, _WIDTH, _STEPS, _TOLD = 4, 64, 10, 4
# Words in more texts than this share say nothing of a topic.
COMMON = 0.3


def find_topics(vectors: NDArray[np.float32], *, seed: int) -> sparse.csr_matrix:
    """(texts, topics) of 0 and 1: the clusters of `vectors`, for each of COUNTS that many; each text is in one of each.
    No label is looked at."""
    parts = [sparse.csr_matrix(np.zeros((len(vectors), 0), np.float32))]
    for count in COUNTS:
        if len(vectors) >= _PER_TOPIC * count:
            labels = _cluster(vectors, count, np.random.default_rng([seed, count]))
            ones = np.ones(len(labels), np.float32)
            parts.append(sparse.csr_matrix((ones, (np.arange(len(labels)), labels)), shape=(len(labels), count)))
    return sparse.csr_matrix(sparse.hstack(parts))


def _cluster(vectors: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The cluster of each vector by spherical k-means (Dhillon and Modha 2001); some may stay empty."""
    centres = vectors[rng.choice(len(vectors), count, replace=False)]
    for _ in range(_STEPS):
        labels = (vectors @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, vectors)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norms > 0, sums / np.maximum(norms, 1e-9), centres)
    return np.asarray((vectors @ centres.T).argmax(1))


def name_topics(topics: sparse.csr_matrix, texts: Numbered) -> list[str]:
    """For each topic the words that most stand out in it, by their surplus over its root (a Poisson score)."""
    held, known = grid(texts.rows, 1)
    shares = np.asarray(held.mean(0)).ravel()
    words = np.flatnonzero((shares > 1 / len(texts.rows)) & (shares < COMMON))
    if not topics.shape[1] or not len(words):
        return [""] * topics.shape[1]
    seen = (topics.T @ held[:, words]).toarray()
    expected = np.asarray(topics.sum(0)).ravel()[:, None] * shares[words]
    order = np.argsort(-(seen - expected) / np.sqrt(np.maximum(expected, 1)), axis=1, kind="stable")[:, :_TOLD]
    numbers = grams(np.array(list(texts.names), np.uint64), 1)
    spelt = dict(zip(numbers.tolist(), texts.names.values(), strict=True))
    return [" ".join(spelt[int(known[words[place]])] for place in row) for row in order]


def by_words(texts: Numbered) -> NDArray[np.float32]:
    """(texts, at most _WIDTH) vectors of unit length: latent semantic analysis of their words (Deerwester 1990)."""
    held, _ = grid(texts.rows, 1)
    counts = np.asarray(held.sum(0)).ravel()
    kept = np.flatnonzero((counts > 1) & (counts < COMMON * len(texts.rows)))
    width = min(_WIDTH, len(kept) - 1, len(texts.rows) - 1)
    if width < 2:
        return np.zeros((len(texts.rows), 1), np.float32)
    weighed = held[:, kept].astype(np.float64) @ sparse.diags(np.log(len(texts.rows) / counts[kept]))
    norms = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)).ravel())
    unit = sparse.csr_matrix(sparse.diags(1 / np.maximum(norms, 1e-9)) @ weighed)
    left, sizes, _ = svds(unit, k=width, v0=np.ones(min(unit.shape)))
    vectors = left * sizes
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)
