"""Many nearly equal pairs within a short time: one voice that tries to count as many."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from scipy.stats import binom

from retrain.pairs.customs.duplicates import groups_of, typical
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot

# Where groups of near repeats are usual, a burst has more members than so many usual ones.
FEWEST, TYPICAL = 5, 2
LEVEL = 0.001


class Bursts:
    """Holds groups of nearly equal pairs that came closer together than so many pairs would by chance."""

    name = "bursts"

    def run(self, lot: Lot) -> Result:
        times = [pair.at for pair in lot.pairs]
        if any(time is None for time in times):
            return Result(skipped="the pairs have no times")
        if len(set(times)) < len(times) / 2:
            return Result(skipped="most pairs have the time of others")  # such as that of their import
        order = np.argsort(np.argsort(np.array([_seconds(time) for time in times]), kind="stable"), kind="stable")
        alike = groups_of(lot.repeats)
        fewest = max(FEWEST, TYPICAL * typical(alike, len(lot.pairs)))
        alike = [members for members in alike if len(members) >= fewest]
        findings: list[Finding] = []
        bursts, tried = 0, len(alike)
        for members in alike:
            found = densest(sorted(order[members].tolist()), len(times), LEVEL / max(1, tried))
            if found is None:
                continue
            bursts += 1
            low, high = found
            inside = [place for place in members if low <= order[place] <= high]
            reason = f"It is one of {len(inside)} nearly equal pairs among {high - low + 1} pairs in a row."
            findings += [Finding(place, "burst", reason, 0.8) for place in inside]
        return Result(findings, figures={"bursts": bursts})


def densest(ranks: list[int], total: int, level: float) -> tuple[int, int] | None:
    """(first, last) place in time of the longest run of `ranks` that is denser than chance allows; None without one.

    By chance the others of a group fall anywhere among `total`; the chance is binomial, corrected for the runs tried.
    """
    tries = len(ranks) ** 2 / 2
    for length in range(len(ranks), FEWEST - 1, -1):
        for start in range(len(ranks) - length + 1):
            low, high = ranks[start], ranks[start + length - 1]
            share = (high - low + 1) / total
            if binom.sf(length - 2, len(ranks) - 1, share) * tries <= level:
                return low, high
    return None


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time is not None else 0.0
