"""Pairs that say again, exactly or nearly, what an earlier pair said: they would count twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.types import PreferencePair
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.minhash import clusters, shingles
from retrain.pairs.customs.words import Ids
from retrain.pairs.split import normalise

# Each part of the pair (prompt, chosen, rejected) must share at least this much of its words.
ALIKE = 0.7
# A lot with more near repeats than this share is made that way; a group this many times the usual size stands out.
USUAL, CROWD = 0.1, 5


class Duplicates:
    """Keeps the first of pairs that are exactly or nearly the same, and holds the others back.

    Some lots are made of near repeats (each good answer against each bad one): where they are many and no group of them
    stands out, they are marked and noted, not held.
    """

    name = "duplicates"

    def run(self, lot: Lot) -> Result:
        first: dict[tuple[str, str, str], int] = {}
        findings: list[Finding] = []
        for place, pair in enumerate(lot.pairs):
            known = first.setdefault(_key(pair), place)
            if known != place:
                reason = f"It says exactly what pair {lot.pairs[known].uuid} says."
                findings.append(Finding(place, "duplicate", reason, 0.5))
        exact = {finding.place for finding in findings}
        groups = groups_of(near(lot))
        alike = [[place for place in members if place not in exact] for members in groups]
        repeats = sum(len(members) - 1 for members in alike if members)
        usual = typical(alike, len(lot.pairs) - len(exact))
        made_so = repeats > USUAL * len(lot.pairs)
        for members in alike:
            holds = not made_so or len(members) >= max(CROWD, CROWD * usual)
            for place in members[1:]:
                reason = f"It says nearly what pair {lot.pairs[members[0]].uuid} says; {len(members)} are alike."
                findings.append(Finding(place, "near_duplicate", reason, 0.5 if holds else 0.05, holds=holds))
        told = f"{repeats} of its {len(lot.pairs)} pairs nearly repeat others: it is made that way."
        notes = [told] if made_so else []
        return Result(findings, notes, {"exact": len(exact), "near": repeats})


def typical(groups: Sequence[Sequence[int]], pairs: int) -> float:
    """The size of group that nine in ten of `pairs` pairs do not exceed; a pair in none is alone."""
    sizes = sorted(size for members in groups for size in [len(members)] * len(members))
    alone, place = pairs - len(sizes), int(0.9 * pairs)
    return 1.0 if place < alone else float(sizes[place - alone])


def near(lot: Lot) -> NDArray[np.int64]:
    """A cluster number for each pair; pairs in one cluster are nearly the same in prompt, chosen and rejected."""
    sides = [lot.prompts.rows, lot.chosen.rows, lot.rejected.rows]
    bags: Mapping[int, Sequence[Ids]] = {side: [np.unique(row) for row in rows] for side, rows in enumerate(sides)}
    # The three sides are kept apart by a mark, so that swapped answers are no duplicates.
    marks = np.array([0, 0x5555555555555555, 0x3333333333333333], np.uint64)
    sets = [
        np.unique(np.concatenate([shingles(rows[place]) ^ mark for rows, mark in zip(sides, marks, strict=True)]))
        for place in range(len(lot.pairs))
    ]

    def alike(one: int, other: int) -> bool:
        return all(_shared(bag[one], bag[other]) >= ALIKE for bag in bags.values())

    return clusters(sets, alike, seed=lot.seed)


def groups_of(labels: NDArray[np.int64]) -> list[list[int]]:
    """The places of each label that more than one has, in their order."""
    found: dict[int, list[int]] = {}
    for place, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(place)
    return [members for members in found.values() if len(members) > 1]


def _shared(one: Ids, other: Ids) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(1, len(one) + len(other) - common) if len(one) or len(other) else 1.0


def _key(pair: PreferencePair) -> tuple[str, str, str]:
    return normalise(pair.prompt), _folded(pair.chosen), _folded(pair.rejected)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
