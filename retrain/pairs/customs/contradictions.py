"""Pairs that prefer opposite answers for the same prompt: both wait until a person has decided."""

from __future__ import annotations

from collections import defaultdict

from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.split import normalise, words


class Contradictions:
    """Holds both sides where the same two answers to the same prompt are preferred the other way round."""

    name = "contradictions"

    def run(self, lot: Lot) -> Result:
        told: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for place, pair in enumerate(lot.pairs):
            told[normalise(pair.prompt), words(pair.chosen), words(pair.rejected)].append(place)
        findings = []
        for (prompt, chosen, rejected), places in told.items():
            against = told.get((prompt, rejected, chosen), []) if chosen != rejected else []
            share = len(against) / (len(places) + len(against))
            for place in places if against else []:
                other = lot.pairs[against[0]].uuid
                reason = f"Pair {other} prefers the opposite for the same prompt."
                findings.append(Finding(place, "contradiction", reason, max(0.5, share)))
        return Result(findings)
