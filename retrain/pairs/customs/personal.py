"""Personal data in a pair: a model that learns it may tell it to anybody."""

from __future__ import annotations

from monitors.descriptors.personal import kinds
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot


class Personal:
    """Holds pairs whose prompt or answers hold an address, a number or an account of a person."""

    name = "personal"

    def run(self, lot: Lot) -> Result:
        findings = []
        for place, pair in enumerate(lot.pairs):
            texts = [*(message["content"] for message in pair.prompt), pair.chosen, pair.rejected]
            if found := sorted(frozenset[str]().union(*map(kinds, texts))):
                named = ", ".join(kind.replace("_", " ") for kind in found)
                findings.append(Finding(place, "personal_data", f"It holds personal data: {named}.", 0.5))
        return Result(findings)
