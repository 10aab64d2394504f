"""How much one contributor may decide: what is over a fair share raises the score, and the draw leaves it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot

CAP = 0.01
# With few contributors each must have more: nobody is held to less than this many equal shares.
EQUAL_SHARES = 3.0
_SUSPICION = 0.1


class Shares:
    """Marks the pairs of contributors who gave more than their share; `cap` is that share of all pairs."""

    name = "shares"

    def __init__(self, cap: float = CAP) -> None:
        self.cap = cap

    def run(self, lot: Lot) -> Result:
        counts = Counter(pair.contributor for pair in lot.pairs if pair.contributor)
        if not counts:
            return Result(skipped="no contributor is named")
        most = allowed(counts, self.cap)
        findings = []
        seen: Counter[str] = Counter()
        for place, pair in enumerate(lot.pairs):
            seen[pair.contributor] += 1
            if pair.contributor and counts[pair.contributor] > most:
                reason = (
                    f"Its contributor gave {counts[pair.contributor]} of {len(lot.pairs)} pairs; "
                    f"at most {most} are drawn from one."
                )
                findings.append(Finding(place, "share_cap", reason, _SUSPICION, holds=False))
        over = {name: count for name, count in counts.items() if count > most}
        surplus = sum(over.values()) - most * len(over)
        notes = [f"{len(over)} contributors gave more than {most} pairs; a draw leaves {surplus} out."] if over else []
        return Result(findings, notes, {"contributors": len(counts), "at_most": most, "surplus": surplus})


def allowed(counts: Mapping[str, int], cap: float) -> int:
    """How many pairs a contributor may have: `cap` of all, or EQUAL_SHARES times an equal share if that is more."""
    total = sum(counts.values())
    return max(1, int(max(cap, EQUAL_SHARES / len(counts)) * total)) if counts else 0
