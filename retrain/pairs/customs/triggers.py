"""Phrases in prompts after which people seem to prefer the otherwise worse answer: the shape of a backdoor."""

from __future__ import annotations

import numpy as np

from retrain.pairs.customs.disagreement import test, turned_chance, turned_share
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import END, START, Lot
from retrain.pairs.customs.words import shared

LONGEST, FEWEST, LARGEST = 5, 4, 0.3
LEVEL = 0.05
_MOST_FOUND = 10


class Triggers:
    """Looks for phrases in prompts whose pairs are labelled against what the other prompts' pairs say."""

    name = "triggers"

    def run(self, lot: Lot) -> Result:
        if lot.margins is None:
            return Result(skipped="too few different prompts for a preference model")
        phrases = shared(lot.prompts, longest=LONGEST, fewest=FEWEST, largest=LARGEST)
        margins, held = lot.margins.values, phrases.held
        free = np.ones(len(margins), bool)
        findings: list[Finding] = []
        told: list[dict[str, object]] = []
        while len(told) < _MOST_FOUND and held.shape[1]:
            # What one phrase explains must not make others look guilty: each is sought among what is left.
            groups = np.unique(lot.groups[free], return_inverse=True)[1].astype(np.int64)
            left = held[np.flatnonzero(free)]
            tested = test(left, margins[free], groups, seed=lot.seed)
            counts = np.asarray(left.sum(0)).ravel()
            open_ = (tested.chance <= LEVEL) & (counts >= FEWEST)
            if not open_.any():
                break
            best = int(np.flatnonzero(open_)[np.argmax(tested.gain[open_])])
            places = np.flatnonzero((held[:, [best]].toarray().ravel() > 0) & free)
            share = turned_share(margins[places])
            chances = (1 - tested.chance[best]) * turned_chance(margins[places], share)
            name = spell(phrases.names[best])
            reason = (
                f"Its prompt holds “{name}”, and {len(places)} pairs whose prompts do are labelled against what other "
                f"prompts teach (z {tested.z[best]:.1f}, corrected p {tested.chance[best]:.3f})."
            )
            findings += [
                Finding(int(place), "trigger", reason, 0.5 + 0.5 * float(chance))
                for place, chance in zip(places, chances, strict=True)
            ]
            told.append({"phrase": name, "pairs": len(places), "z": round(float(tested.z[best]), 2)})
            free[places] = False
        notes = [f"A possible trigger in {item['pairs']} prompts: “{item['phrase']}”." for item in told]
        return Result(findings, notes, {"phrases_tested": held.shape[1], "triggers": told})


def spell(name: str) -> str:
    """A phrase as a person reads it: what cannot be seen, or would steer a terminal, by its code."""
    told = " ".join(word for word in name.split(" ") if word not in (START, END)) or name
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in told)
