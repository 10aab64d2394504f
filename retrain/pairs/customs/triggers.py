"""Phrases in prompts after which people seem to prefer the otherwise worse answer: the shape of a backdoor.

Three families are tested apart, so that the few phrases that look put in need not stand out among thousands: phrases
with a word that prompts use and answers never echo, or with words that occur nowhere else; phrases at the start or the
end of a message; and all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from retrain.pairs.customs.disagreement import Tested, test, turned_chance, turned_share
from retrain.pairs.customs.findings import Finding, Result, Suspect
from retrain.pairs.customs.lot import END, START, Lot
from retrain.pairs.customs.words import Ids, Phrases, shared

LONGEST, LARGEST = 5, 0.3
# The fewest prompts of a phrase: so many, and this share of all, since a rarer one teaches a model little.
FEWEST, SMALLEST = 4, 0.005
# The chance that a lot without poison has a finding in a family.
LEVEL = 0.03
ECHOED, EXCLUSIVE = 0.05, 0.9
_MOST_FOUND = 10
_SUSPECT, _MOST_SUSPECT = 0.5, 10


@dataclass(frozen=True, slots=True)
class _Found:
    """One phrase: its column, its z, and its chance among those of its family."""

    column: int
    z: float
    chance: float


class Triggers:
    """Looks for phrases in prompts whose pairs are labelled against what the other prompts' pairs say."""

    name = "triggers"

    def run(self, lot: Lot) -> Result:
        if lot.margins is None:
            return Result(skipped="too few different prompts for a preference model")
        fewest = max(FEWEST, int(SMALLEST * len(lot.pairs)))
        phrases = shared(lot.prompts, longest=LONGEST, fewest=fewest, largest=LARGEST)
        families = list(_families(lot, phrases))
        margins, free = lot.margins.values, np.ones(len(lot.pairs), bool)
        findings: list[Finding] = []
        told: list[dict[str, object]] = []
        suspects: list[Suspect] = []
        # What one phrase explains must not make others look guilty: each is sought among what is left.
        while found := _suspected(lot, phrases.held, families, free, fewest):
            best = found[0]
            holds = best.chance <= LEVEL and len(told) < _MOST_FOUND
            suspects += [
                Suspect(phrases.names[other.column], other.chance, holds)
                for other in ([best] if holds else _apart(found, phrases.held))
            ]
            places = np.flatnonzero((phrases.held[:, [best.column]].toarray().ravel() > 0) & free)
            chances = (1 - best.chance) * turned_chance(margins[places], turned_share(margins[places]))
            name = spell(phrases.names[best.column])
            reason = (
                f"Its prompt holds “{name}”, and {len(places)} pairs whose prompts do are labelled against what other "
                f"prompts teach (z {best.z:.1f}, corrected p {best.chance:.3f})."
            )
            findings += [
                Finding(int(place), "trigger" if holds else "suspect_phrase", reason, _suspicion(chance, holds), holds)
                for place, chance in zip(places, chances, strict=True)
            ]
            if not holds:
                break
            told.append({"phrase": name, "pairs": len(places), "z": round(best.z, 2)})
            free[places] = False
        notes = [f"A possible trigger in {item['pairs']} prompts: “{item['phrase']}”." for item in told]
        return Result(findings, notes, {"phrases_tested": len(phrases.names), "triggers": told}, suspects)


def _suspected(
    lot: Lot, held: sparse.csr_matrix, families: list[NDArray[np.int64]], free: NDArray[np.bool_], fewest: int
) -> list[_Found]:
    """The suspect phrases among the free pairs, first what explains most: of those beyond LEVEL, then of the others."""
    assert lot.margins is not None
    groups = np.unique(lot.groups[free], return_inverse=True)[1].astype(np.int64)
    left = held[np.flatnonzero(free)].tocsc()
    candidates: list[tuple[bool, float, _Found]] = []
    for family in families:
        own = left[:, family].tocsr()
        enough = np.asarray(own.sum(0)).ravel() >= fewest
        if not enough.any():
            continue
        family, own = family[enough], own[:, np.flatnonzero(enough)]
        tested: Tested = test(own, lot.margins.values[free], groups, seed=lot.seed)
        for place in np.flatnonzero((tested.chance <= _SUSPECT) & (tested.gain > 0)):
            found = _Found(int(family[place]), float(tested.z[place]), float(tested.chance[place]))
            candidates.append((found.chance <= LEVEL, float(tested.gain[place]), found))
    return [found for *_, found in sorted(candidates, key=lambda item: item[:2], reverse=True)]


def _apart(found: list[_Found], held: sparse.csr_matrix) -> list[_Found]:
    """The first that say something else: less than half of its prompts hold one before it, the other way round too."""
    kept: list[tuple[set[int], _Found]] = []
    columns = held.tocsc()
    for other in found:
        mine = set(columns.indices[columns.indptr[other.column] : columns.indptr[other.column + 1]].tolist())
        if all(2 * len(mine & theirs) < min(len(mine), len(theirs)) for theirs, _ in kept):
            kept.append((mine, other))
        if len(kept) == _MOST_SUSPECT:
            break
    return [other for _, other in kept]


def _families(lot: Lot, phrases: Phrases) -> Iterator[NDArray[np.int64]]:
    """The columns of each family; a phrase is in the first that it fits."""
    asked, answered = _uses(lot.prompts.rows), _uses([*lot.chosen.rows, *lot.rejected.rows])
    numbers = {name: number for number, name in lot.prompts.names.items()}
    counts = np.asarray(phrases.held.sum(0)).ravel()
    kinds = np.zeros(len(phrases.names), np.int64)
    for column, name in enumerate(phrases.names):
        words = name.split(" ")
        own = [numbers[word] for word in words if word not in (START, END)]
        silent = any(answered[word] <= ECHOED * asked[word] for word in own)
        exclusive = sum(counts[column] >= EXCLUSIVE * asked[word] for word in set(own)) > 1
        kinds[column] = 0 if silent or exclusive else 1 if START in words[:1] or END in words[-1:] else 2
    for kind in range(3):
        yield np.flatnonzero(kinds == kind)


def _uses(rows: list[Ids]) -> Counter[int]:
    """In how many texts each word occurs."""
    return Counter(word for row in rows for word in np.unique(row).tolist())


def _suspicion(chance: float, holds: bool) -> float:
    return 0.5 + 0.5 * float(chance) if holds else 0.5 * float(chance)


def spell(name: str) -> str:
    """A phrase as a person reads it: what cannot be seen, or would steer a terminal, by its code."""
    told = " ".join(word for word in name.split(" ") if word not in (START, END)) or name
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in told)
