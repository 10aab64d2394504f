"""Texts as rows of numbered words, and the phrases that many of them share."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# A word, or a single sign: a trigger may be made of either, an invisible character included.
_WORD = re.compile(r"\w+|[^\w\s]")
_MIX = np.uint64(0x9E3779B97F4A7C15)
LONGEST_TEXT = 20_000

Ids = NDArray[np.uint64]


def split(text: str) -> list[str]:
    """The words and signs of the first LONGEST_TEXT characters, whatever their case."""
    return _WORD.findall(text[:LONGEST_TEXT].casefold())


class Numbered:
    """Texts, given as words, as arrays of 64-bit numbers; equal words have equal numbers in every text."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self.names: dict[int, str] = {}
        self.rows = [self._number(words) for words in texts]

    def _number(self, words: Sequence[str]) -> Ids:
        row = np.fromiter((_hash(word) for word in words), np.uint64, len(words))
        for number, word in zip(row.tolist(), words, strict=True):
            self.names.setdefault(number, word)
        return row


def grams(row: Ids, length: int) -> Ids:
    """The number of each run of `length` words, by its place; empty for shorter texts."""
    if len(row) < length:
        return row[:0]
    places = len(row) - length + 1
    made = np.zeros(places, np.uint64)
    for step in range(length):
        made = (made ^ row[step : step + places]) * _MIX
        made ^= made >> np.uint64(29)
    return made


def grid(rows: Sequence[Ids], longest: int) -> tuple[sparse.csr_matrix, Ids]:
    """Which text holds which phrase of up to `longest` words: (texts, phrases) of 0 and 1, and the phrases' numbers."""
    texts: list[NDArray[np.int64]] = []
    numbers: list[Ids] = []
    for place, row in enumerate(rows):
        found = np.unique(np.concatenate([grams(row, length) for length in range(1, longest + 1)]))
        numbers.append(found)
        texts.append(np.full(len(found), place, np.int64))
    known, columns = np.unique(np.concatenate([*numbers, np.zeros(0, np.uint64)]), return_inverse=True)
    ones = np.ones(len(columns), np.float32)
    places = np.concatenate([*texts, np.zeros(0, np.int64)])
    held = sparse.csr_matrix((ones, (places, columns)), shape=(len(rows), len(known)))
    return held, known


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases that texts share: `held` is (texts, phrases) of 0 and 1; `names` are their words."""

    held: sparse.csr_matrix
    names: list[str]


def shared(numbered: Numbered, *, longest: int, fewest: int, largest: float) -> Phrases:
    """The phrases in at least `fewest` texts and at most the share `largest` of them, the longest of equal ones.

    Phrases in exactly the same texts are one and the same finding; the longest names it best.
    """
    held, known = grid(numbered.rows, longest)
    counts = np.asarray(held.sum(0)).ravel()
    kept = np.flatnonzero((counts >= fewest) & (counts <= largest * len(numbered.rows)))
    columns = held[:, kept].tocsc()
    # Two phrases share all their texts exactly when these sums of random marks agree.
    marks = np.random.default_rng(0).integers(0, 2**63, len(numbered.rows), dtype=np.uint64)
    sums = np.array([marks[columns.indices[a:b]].sum() for a, b in itertools.pairwise(columns.indptr)])
    spelt = _spell(numbered, {int(number) for number in known[kept]}, longest)
    best: dict[int, int] = {}
    for column, total in enumerate(sums.tolist()):
        name = spelt[int(known[kept[column]])]
        if total not in best or len(name) > len(spelt[int(known[kept[best[total]]])]):
            best[total] = column
    chosen = sorted(best.values())
    return Phrases(columns[:, chosen].tocsr(), [spelt[int(known[kept[column]])] for column in chosen])


def _spell(numbered: Numbered, wanted: set[int], longest: int) -> dict[int, str]:
    spelt: dict[int, str] = {}
    for row in numbered.rows:
        for length in range(1, longest + 1):
            for place, number in enumerate(grams(row, length).tolist()):
                if number in wanted and number not in spelt:
                    spelt[number] = " ".join(numbered.names[int(word)] for word in row[place : place + length])
        if len(spelt) == len(wanted):
            break
    return spelt


def _hash(word: str) -> int:
    low = zlib.crc32(word.encode("utf-8", "surrogatepass"))
    return (low << 32) | zlib.adler32(word.encode("utf-8", "surrogatepass"))
