"""Views of a prompt: five numbers, fixed by a part of the reference, in which something new stands out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from monitors.statistics.bets import Side

NAMES: tuple[str, ...] = ("meaning", "wording", "length", "capitals", "punctuation")
SIDES: tuple[Side, ...] = ("small", "small", "both", "both", "both")
NEIGHBOURS = 5
# How much of a prompt's distance is judged by how far apart its neighbours lie themselves: 0 is the plain distance, in
# which the emptiest topic of the reference decides what is far, 1 the local outlier factor (Breunig, Kriegel, Ng and
# Sander, SIGMOD 2000), which a few near copies upset.
LOCAL = 0.25
# Cosine distances below this are copies: their logarithm would order the encoder's rounding.
SAME = 1e-3
CELLS = 1 << 16
BYTES_READ = 4_000
# Scores are whole numbers of this unit. The same text embedded in two batches differs by about 1e-7; without
# the grid that noise, not chance, would order exact duplicates.
UNIT = 1e-4

_PUNCTUATION = np.zeros(256, bool)
_PUNCTUATION[[c for c in range(33, 127) if not chr(c).isalnum()]] = True


@dataclass(frozen=True, slots=True)
class Views:
    """The fixed score functions: `anchors` are unit embeddings, `spacing` the distance of each from its own nearest,
    `document_counts` texts that hold a trigram.
    """

    anchors: NDArray[np.float32]
    spacing: NDArray[np.float64]
    document_counts: NDArray[np.int32]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, embeddings: NDArray[np.float32], texts: Sequence[str]) -> Self:
        """Return the views that these texts and their embeddings (n, d) fix; do not calibrate on them."""
        cosines: NDArray[np.float32] = embeddings @ embeddings.T
        np.fill_diagonal(cosines, -np.inf)
        spacing = 1 - _nearest(cosines)[1].mean(axis=1)
        distance = _distance(cosines, spacing)
        hashes = [_trigrams(_read(text)) for text in texts]
        counts = np.zeros(CELLS, np.int32)
        for h in hashes:
            counts[np.unique(h)] += 1
        rarity = np.array([_rarity(counts[h] - 1, len(texts) - 1) for h in hashes])
        both = np.stack([distance, rarity])
        return cls(embeddings, spacing, counts, both.mean(axis=1), np.maximum(both.std(axis=1), 1e-6))

    def score(self, embeddings: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.int64]:
        """Return whole-number scores in units of UNIT: one row a text, one column for each of NAMES."""
        out = np.empty((len(texts), len(NAMES)))
        out[:, 0] = _distance(embeddings @ self.anchors.T, self.spacing)
        size = len(self.anchors)
        for i, text in enumerate(texts):
            raw = _read(text)
            out[i, 1] = _rarity(self.document_counts[_trigrams(raw)], size)
            out[i, 2] = np.log1p(len(text))
            out[i, 3] = np.count_nonzero((raw >= 65) & (raw <= 90)) / raw.size
            out[i, 4] = np.count_nonzero(_PUNCTUATION[raw]) / raw.size
        out[:, 1] = ((out[:, :2] - self.centre) / self.scale).sum(axis=1)
        return np.rint(out / UNIT).astype(np.int64)


def unit_rows(embeddings: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the embeddings (n, d) as unit vectors; InvalidInput unless finite and one for each text."""
    rows = np.asarray(embeddings, np.float32)
    if rows.ndim != 2 or len(rows) != len(texts):
        raise InvalidInput(
            f"Embeddings of shape {rows.shape} do not belong to {len(texts)} texts.",
            "Give one row for each text.",
        )
    if not np.isfinite(rows).all():
        raise InvalidInput(
            "An embedding holds a value that is not a number.",
            "Check the encoder, then embed these texts again.",
        )
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def _nearest(cosines: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which anchors are the NEIGHBOURS nearest and their cosines, each of shape (n, k)."""
    k = min(NEIGHBOURS, cosines.shape[1] - 1)
    index = np.argpartition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]
    return index, np.take_along_axis(cosines, index, axis=1).astype(np.float64)


def _distance(cosines: NDArray[np.float32], spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log distances to the nearest anchors, judged in part by the anchors' own spacing: shape (n,)."""
    index, near = _nearest(cosines)
    far = np.log(np.maximum(1 - near.mean(axis=1), SAME))
    around = np.log(np.maximum(spacing[index].mean(axis=1), SAME))
    out: NDArray[np.float64] = far + LOCAL * (far - around)
    return out


def _read(text: str) -> NDArray[np.uint8]:
    padded = f"  {text[:BYTES_READ]}  ".encode("utf-8", "replace")
    return np.frombuffer(padded, np.uint8)[: BYTES_READ + 4]


def _trigrams(raw: NDArray[np.uint8]) -> NDArray[np.uint32]:
    lower = (raw | (((raw >= 65) & (raw <= 90)).view(np.uint8) << 5)).astype(np.uint32)
    code = (lower[:-2] << 16) | (lower[1:-1] << 8) | lower[2:]
    return (code * np.uint32(2654435761) >> np.uint32(16)).astype(np.uint32)


def _rarity(document_counts: NDArray[np.int32], size: int) -> float:
    return float(np.mean(np.log((size + 1) / (document_counts + 0.5))))
