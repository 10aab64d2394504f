"""Marks in prompts after which people seem to prefer the otherwise worse answer: the shape of a backdoor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from retrain.pairs.customs.disagreement import testable, turned_chance, turned_share, weigh
from retrain.pairs.customs.findings import Finding, Result, Suspect
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.marks import FAMILIES, Marks, fewest, find_marks, spell

# The chance that a lot without poison has a finding in each family: most for what looks put in, since few phrases do
# and triggers must; least for topics, which take sound pairs along.
LEVELS = dict(zip(FAMILIES, (0.03, 0.02, 0.02, 0.02, 0.01), strict=True))
FLAG = "trigger"
PROMISED = sum(LEVELS.values())
_MOST_FOUND = 10
_SUSPECT, _MOST_SUSPECT = 0.5, 10
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Found:
    """One mark: its column, its z and its chance among those of its family, the level of that, what is won by reading
    its labels as turned round, and the margins that say so."""

    column: int
    z: float
    chance: float
    level: float
    gain: float
    margins: Floats

    @property
    def holds(self) -> bool:
        return self.chance <= self.level

    @property
    def weight(self) -> tuple[bool, float]:
        """Which to believe first: of those that hold what explains most, otherwise what is least probable by chance."""
        return self.holds, self.gain if self.holds else -self.chance


class Triggers:
    """Looks for marks in prompts whose pairs are labelled against what the other pairs say."""

    name = "triggers"

    def run(self, lot: Lot) -> Result:
        if not lot.views:
            return Result(skipped="too few different prompts for a preference model")
        marks = find_marks(lot, seed=lot.seed)
        columns, free = marks.held.tocsc(), np.ones(len(lot.pairs), bool)
        findings: list[Finding] = []
        told: list[dict[str, object]] = []
        suspects: list[Suspect] = []
        held: list[_Found] = []
        # What one mark explains must not make others look guilty: each is sought among what is left.
        while found := _suspected(lot, marks, free):
            best = max(found, key=lambda other: other.weight)
            if not best.holds or len(told) == _MOST_FOUND:
                break
            best = _widest(best, found, columns)
            places = np.flatnonzero(free & _holders(columns, best.column))
            findings += _describe(best, places, marks, holds=True)
            suspects += _phrases([best], marks, held=True)
            held.append(best)
            name, kind = spell(marks.names[best.column]), marks.family(best.column)
            told.append({"phrase": name, "family": kind, "pairs": len(places), "z": round(best.z, 2)})
            free[places] = False
        unsure = sorted(found, key=lambda other: -other.gain)
        suspects += _phrases(_apart(unsure, columns), marks, held=False)
        for best in held:
            findings += _in_place(best, marks, columns, free)
        # A pair is told the most probable of its marks only: overlapping ones are no further evidence.
        for other in sorted(found, key=lambda other: other.weight, reverse=True):
            places = np.flatnonzero(free & _holders(columns, other.column))
            findings += _describe(other, places, marks, holds=False)
            free[places] = False
        notes = [f"A possible trigger in {item['pairs']} prompts: “{item['phrase']}”." for item in told]
        return Result(findings, notes, {"marks_tested": len(marks.names), "triggers": told}, suspects)


def _suspected(lot: Lot, marks: Marks, free: NDArray[np.bool_]) -> list[_Found]:
    """The marks of the free pairs that may well be triggers by any view of the lot, each family tested by itself.

    Labels must be better explained turned round than not: otherwise a topic that is merely harder looks guilty.
    """
    groups = np.unique(lot.groups[free], return_inverse=True)[1].astype(np.int64)
    left = marks.held[np.flatnonzero(free)].tocsc()
    found: dict[int, _Found] = {}
    for name, family in zip(FAMILIES, marks.families, strict=True):
        own = left[:, family].tocsr()
        family = family[testable(own, groups, fewest=fewest(len(lot.pairs)), level=LEVELS[name])]
        if not len(family):
            continue
        for view in lot.views:
            tested = weigh(left[:, family].tocsr(), view.values[free], groups, seed=lot.seed)
            # A mark may show in any of the views (Bonferroni).
            chances = np.minimum(1.0, tested.chance * len(lot.views))
            for place in np.flatnonzero((chances <= _SUSPECT) & (tested.gain > 0)):
                z, chance, gain = float(tested.z[place]), float(chances[place]), float(tested.gain[place])
                mark = _Found(int(family[place]), z, chance, LEVELS[name], gain, view.values)
                known = found.get(mark.column)
                if known is None or mark.weight > known.weight:
                    found[mark.column] = mark
    return list(found.values())


def _widest(best: _Found, found: list[_Found], columns: sparse.csc_matrix) -> _Found:
    """The mark of most prompts among `best` and those that hold too, take in all of its prompts, and whose likelihood
    is not lower by more than their level: a trigger is the whole of a mark, whatever happens to stand beside it."""
    inner = _holders(columns, best.column)
    near = [other for other in found if other.holds and best.gain - other.gain < -np.log(other.level)]
    wider = [other for other in near if not (inner & ~_holders(columns, other.column)).any()]
    return max(wider, key=lambda other: int(_holders(columns, other.column).sum()))


def _in_place(found: _Found, marks: Marks, columns: sparse.csc_matrix, free: NDArray[np.bool_]) -> list[Finding]:
    """Of a word that is a trigger where prompts seldom put it, the free pairs that hold it elsewhere: nobody knows how
    often it is one there."""
    if marks.family(found.column) != "out of place":
        return []
    name = marks.names[found.column]
    holders = [_holders(columns, column) for column, other in enumerate(marks.names) if other == name]
    places = np.flatnonzero(free & np.any(holders, axis=0))
    chances = 0.5 * turned_chance(found.margins[places], 0.5)
    reason = f"Its prompt holds “{spell(name)}”, which is a trigger where other prompts seldom put it."
    return [
        Finding(int(place), "suspect_phrase", reason, float(chance), holds=False)
        for place, chance in zip(places, chances, strict=True)
    ]


def _describe(found: _Found, places: NDArray[np.int64], marks: Marks, *, holds: bool) -> list[Finding]:
    if not len(places):
        return []
    margins, name = found.margins[places], spell(marks.names[found.column])
    chances = (1 - found.chance) * turned_chance(margins, turned_share(margins))
    has = {
        "topic": f"is about the same as others (“{name}”)",
        "out of place": f"holds “{name}” where prompts seldom put it",
    }.get(marks.family(found.column), f"holds “{name}”")
    reason = (
        f"Its prompt {has}, and {len(places)} pairs whose prompts do so are labelled against what other pairs teach "
        f"(z {found.z:.1f}, corrected p {found.chance:.3f})."
    )
    flag = FLAG if holds else "suspect_phrase"
    return [
        Finding(int(place), flag, reason, 0.5 * holds + 0.5 * float(chance), holds)
        for place, chance in zip(places, chances, strict=True)
    ]


def _phrases(found: list[_Found], marks: Marks, *, held: bool) -> list[Suspect]:
    """Those that can be put into a prompt: a topic cannot."""
    return [
        Suspect(marks.names[mark.column], mark.chance, held) for mark in found if marks.family(mark.column) != "topic"
    ]


def _apart(found: list[_Found], columns: sparse.csc_matrix) -> list[_Found]:
    """The first that say something else: less than half of its prompts hold one before it, the other way round too."""
    kept: list[tuple[set[int], _Found]] = []
    for other in found:
        mine = set(columns.indices[columns.indptr[other.column] : columns.indptr[other.column + 1]].tolist())
        if all(2 * len(mine & theirs) < min(len(mine), len(theirs)) for theirs, _ in kept):
            kept.append((mine, other))
        if len(kept) == _MOST_SUSPECT:
            break
    return [other for _, other in kept]


def _holders(columns: sparse.csc_matrix, column: int) -> NDArray[np.bool_]:
    held = np.zeros(columns.shape[0], bool)
    held[columns.indices[columns.indptr[column] : columns.indptr[column + 1]]] = True
    return held
