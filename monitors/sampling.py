"""Seeded sampling plans over a range of integer keys: which keys to read, and with what probability each was drawn.

The plans never look at a row, so their cost is that of the sample. Keys of the range that hold no row of the wanted
kind are drawn too and simply found empty: every row that exists keeps the probability stated.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from core.errors import InvalidInput

BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Draw:
    """A key to read and the probability with which the plan included it."""

    key: int
    probability: float


def draw_all(first: int, last: int) -> list[Draw]:
    """Every key from `first` to `last`, both included, each for certain."""
    return [Draw(key, 1.0) for key in range(first, last + 1)]


def draw_uniform(first: int, last: int, *, count: int, size: int, seed: int) -> list[Draw]:
    """Keys drawn alike from the range so that about `size` of its `count` rows are met; in key order.

    A simple random sample of keys: each key's inclusion probability is the drawn share of the range (Sarndal,
    Swensson and Wretman, Model Assisted Survey Sampling, 3.3). Raises InvalidInput on a negative size or count.
    """
    _require(size, count)
    width = last - first + 1
    if width <= 0 or count == 0 or size == 0:
        return []
    drawn = min(width, ceil(size * width / count))
    keys = random.Random(seed).sample(range(first, last + 1), drawn)
    return [Draw(key, drawn / width) for key in sorted(keys)]


def draw_stratified(strata: Mapping[str, Sequence[int]], *, size: int, seed: int, minimum: int = 1) -> list[Draw]:
    """A simple random sample within each stratum of keys; in key order.

    Sizes follow the strata's shares of `size`, but a stratum gets at least `minimum` keys (or all it has), so that
    small groups are seen; the probability of a key is its stratum's drawn share.
    """
    total = sum(len(keys) for keys in strata.values())
    _require(size, total)
    rng = random.Random(seed)
    out: list[Draw] = []
    for name in sorted(strata):
        keys = sorted(strata[name])
        if not keys or size == 0:
            continue
        drawn = min(len(keys), max(minimum, round(size * len(keys) / total)))
        out += [Draw(key, drawn / len(keys)) for key in rng.sample(keys, drawn)]
    return sorted(out, key=lambda draw: draw.key)


def draw_recent(first: int, last: int, *, count: int, size: int, seed: int) -> list[Draw]:
    """Keys drawn more densely the newer they are: blocks double in width backwards and get equal numbers of keys."""
    _require(size, count)
    width = last - first + 1
    if width <= 0 or count == 0 or size == 0:
        return []
    rng = random.Random(seed)
    unit = max(1, ceil(width / (2**BLOCKS - 1)))
    wanted = ceil(size * width / count / BLOCKS)
    out: list[Draw] = []
    end = last
    for block in range(BLOCKS):
        start = first if block == BLOCKS - 1 else max(first, end - unit * 2**block + 1)
        held = end - start + 1
        drawn = min(held, wanted)
        out += [Draw(key, drawn / held) for key in rng.sample(range(start, end + 1), drawn)]
        end = start - 1
        if end < first:
            break
    return sorted(out, key=lambda draw: draw.key)


def _require(size: int, count: int) -> None:
    if size < 0 or count < 0:
        raise InvalidInput(f"A sample of {size} from {count} rows cannot be drawn.", "Give a size of 0 or more.")
