"""Pairs that say again, exactly or nearly, what an earlier pair said: they would count twice."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from core.types import PreferencePair
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.split import normalise

# A lot with more near repeats than this share is made that way; a group this many times the usual size stands out.
USUAL, CROWD = 0.03, 5


class Duplicates:
    """Keeps the first of pairs that are exactly or nearly the same, and holds the others back.

    Some lots are made of near repeats (each good answer against each bad one): where they are many and no group of them
    stands out, they are marked and noted, not held. What is `held` anyway, by its key, counts as not there: else none
    of those that say the same would train.
    """

    name = "duplicates"

    def __init__(self, held: Collection[int] = frozenset()) -> None:
        self.held = held

    def run(self, lot: Lot) -> Result:
        first: dict[tuple[str, str, str], int] = {}
        findings: list[Finding] = []
        own = [place for place, pair in enumerate(lot.pairs) if pair.id not in self.held]
        for place in own:
            known = first.setdefault(_key(lot.pairs[place]), place)
            if known != place:
                reason = f"It says exactly what pair {lot.pairs[known].uuid} says."
                findings.append(Finding(place, "duplicate", reason, 0.5))
        left = set(own) - {finding.place for finding in findings}
        exact = len(own) - len(left)
        alike = [[place for place in members if place in left] for members in groups_of(lot.repeats)]
        repeats = sum(len(members) - 1 for members in alike if members)
        fewest = standing_out(alike, len(left))
        for members in alike:
            holds = len(members) >= fewest
            for place in members[1:]:
                reason = f"It says nearly what pair {lot.pairs[members[0]].uuid} says; {len(members)} are alike."
                findings.append(Finding(place, "near_duplicate", reason, 0.5 if holds else 0.05, holds=holds))
        told = f"{repeats} of its {len(own)} pairs nearly repeat others: it is made that way."
        return Result(findings, [told] if fewest > 2 else [], {"exact": exact, "near": repeats})


def standing_out(groups: Sequence[Sequence[int]], pairs: int) -> float:
    """From which size on a group of near repeats stands out: 2, or more in a lot that is made of them."""
    repeats = sum(len(members) - 1 for members in groups if members)
    return 2.0 if repeats <= USUAL * pairs else max(CROWD, CROWD * typical(groups, pairs))


def typical(groups: Sequence[Sequence[int]], pairs: int) -> float:
    """The size of group that nine in ten of `pairs` pairs do not exceed; a pair in none is alone."""
    sizes = sorted(size for members in groups for size in [len(members)] * len(members))
    alone, place = pairs - len(sizes), int(0.9 * pairs)
    return 1.0 if place < alone else float(sizes[place - alone])


def groups_of(labels: NDArray[np.int64]) -> list[list[int]]:
    """The places of each label that more than one has, in their order."""
    found: dict[int, list[int]] = {}
    for place, label in enumerate(labels.tolist()):
        found.setdefault(label, []).append(place)
    return [members for members in found.values() if len(members) > 1]


def _key(pair: PreferencePair) -> tuple[str, str, str]:
    return normalise(pair.prompt), _folded(pair.chosen), _folded(pair.rejected)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
