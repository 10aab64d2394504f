"""How far each contributor's labels can be relied on: against others on the same pairs, else against other prompts."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from estimates.means import effective_units
from estimates.proportions import exact_limits
from retrain.pairs.customs.dawid_skene import agree
from retrain.pairs.customs.disagreement import turned_chance, turned_share, weigh
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot

FEWEST, OVERLAPS = 5, 10
LEVEL = 0.05
FLAG = "unreliable_contributor"


class Reliability:
    """Holds the pairs of contributors who label against what everybody else's pairs say."""

    name = "reliability"

    def run(self, lot: Lot) -> Result:
        counts = Counter(pair.contributor for pair in lot.pairs if pair.contributor)
        names = sorted(name for name, count in counts.items() if count >= FEWEST)
        if len(counts) < 2 or not names:
            return Result(skipped="fewer than two contributors are named")
        told, findings = self._overlapping(lot)
        for view in lot.views:
            findings += self._against_others(lot, names, view.values, LEVEL / len(lot.views))
        # Views, and people who judged the same, may say it of the same pair: once is enough.
        surest = {finding.place: finding for finding in sorted(findings, key=lambda finding: finding.suspicion)}
        return Result(
            [surest[place] for place in sorted(surest)], figures={"contributors": len(counts), "overlapping": told}
        )

    def _overlapping(self, lot: Lot) -> tuple[dict[str, dict[str, float]], list[Finding]]:
        """Where several people judged the same two answers: each one's accuracy with its interval."""
        judged = agree([*lot.votes.values()])
        prompts: dict[str, Counter[str]] = defaultdict(Counter)
        for (prompt, _), said in lot.votes.items():
            for name in said:
                prompts[name][prompt] += 1
        told = {}
        findings = []
        for name, (right, items) in judged.items():
            # Whoever thinks otherwise of one prompt does so of all its answers: equally frequent prompts count (Kish).
            units = int(effective_units([*prompts[name].values()]))
            if units < OVERLAPS:
                continue
            low, high = exact_limits(round(right * units), units)
            told[name] = {"accuracy": round(right, 3), "low": round(low, 3), "high": round(high, 3), "items": items}
            if high < 0.5:
                reason = (
                    f"Its contributor agrees with the others in {right:.0%} [{low:.0%}, {high:.0%}] of {items} "
                    "pairs that both judged."
                )
                places = [place for place, pair in enumerate(lot.pairs) if pair.contributor == name]
                findings += [Finding(place, FLAG, reason, 1 - right) for place in places]
        return told, findings

    def _against_others(self, lot: Lot, names: list[str], margins: NDArray[np.float64], level: float) -> list[Finding]:
        column = {name: number for number, name in enumerate(names)}
        places = [place for place, pair in enumerate(lot.pairs) if pair.contributor in column]
        columns = [column[lot.pairs[place].contributor] for place in places]
        shape = (len(lot.pairs), len(names))
        held = sparse.csr_matrix((np.ones(len(places), np.float32), (places, columns)), shape=shape)
        tested = weigh(held, margins, lot.groups, seed=lot.seed)
        findings = []
        for number in np.flatnonzero((tested.chance <= level) & (tested.gain > 0)):
            own = np.array([place for place, at in zip(places, columns, strict=True) if at == number])
            chances = (1 - tested.chance[number]) * turned_chance(margins[own], turned_share(margins[own]))
            reason = (
                f"Its contributor's {len(own)} pairs are labelled against what the others' pairs teach "
                f"(z {tested.z[number]:.1f}, corrected p {tested.chance[number]:.3f})."
            )
            findings += [
                Finding(int(place), FLAG, reason, 0.5 + 0.5 * float(chance))
                for place, chance in zip(own, chances, strict=True)
            ]
        return findings
