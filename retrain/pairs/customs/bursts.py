"""Many nearly equal pairs within a short time: one voice that tries to count as many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from retrain.pairs.customs.duplicates import groups_of, typical
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot

# Where bursts are usual (a file in the order in which it was made), one has more members than so many usual ones.
FEWEST, TYPICAL = 5, 2
LEVEL, USUAL = 0.001, 0.9
Members = NDArray[np.int64]
Floats = NDArray[np.float64]


class Bursts:
    """Holds groups of nearly equal pairs that came closer together than so many pairs would by chance.

    In a file that was written group by group all of them do. There a burst is what came closer together in time than
    the rest of its own group, and than nine in ten pairs of all groups.
    """

    name = "bursts"

    def run(self, lot: Lot) -> Result:
        times = [pair.at for pair in lot.pairs]
        if any(time is None for time in times):
            return Result(skipped="the pairs have no times")
        if len(set(times)) < len(times) / 2:
            return Result(skipped="most pairs have the time of others")  # such as that of their import
        seconds = np.array([_seconds(time) for time in times])
        # By their places among all pairs, so that a busy hour is no burst.
        places = np.argsort(np.argsort(seconds, kind="stable"), kind="stable").astype(np.float64)
        alike = [np.array(members) for members in groups_of(lot.repeats) if len(members) >= FEWEST]
        found = [_densest(members, places, float(len(times)), LEVEL / len(alike)) for members in alike]
        bursts, usual = _standing_out([run for run in found if run is not None], len(times))
        closer = [
            _densest(members, seconds, width, LEVEL / len(usual))
            for members, width in zip(usual, _widths(usual, seconds), strict=True)
        ]
        bursts += _standing_out([run for run in closer if run is not None], len(times))[0]
        findings = []
        for members in bursts:
            row = int(np.ptp(places[members])) + 1
            reason = f"It is one of {len(members)} nearly equal pairs among {row} pairs in a row."
            findings += [Finding(int(place), "burst", reason, 0.8) for place in members]
        return Result(findings, figures={"bursts": len(bursts)})


def _standing_out(found: Sequence[Members], pairs: int) -> tuple[list[Members], list[Members]]:
    """The runs that are longer than is usual in this lot, and the others."""
    usual = TYPICAL * typical([members.tolist() for members in found], pairs)
    return [run for run in found if len(run) >= usual], [run for run in found if len(run) < usual]


def _widths(runs: Sequence[Members], seconds: Floats) -> list[float]:
    """The time that each run takes, or would take at the pace that nine in ten pairs in runs do not exceed."""
    spans = [float(np.ptp(seconds[members])) for members in runs]
    paces = [span / len(members) for members, span in zip(runs, spans, strict=True) for _ in members]
    pace = float(np.quantile(paces, 1 - USUAL)) if paces else 0.0
    return [max(span, pace * len(members)) for members, span in zip(runs, spans, strict=True)]


def _densest(members: Members, at: Floats, width: float, level: float) -> Members | None:
    """The members in the run that is least probable by chance; None where chance allows every run.

    `at` is where each pair lies on a line of which the group could fill `width`. By chance the others of a group fall
    anywhere on it; the chance is binomial, corrected for the runs tried.
    """
    ordered = members[np.argsort(at[members], kind="stable")]
    line, number = at[ordered], len(ordered)
    best, start, length = 0.0, 0, 0
    for size in range(FEWEST, number + 1):
        shares = np.clip((line[size - 1 :] - line[: number - size + 1] + 1) / (width + 1), 0, 1)
        chances = np.asarray(binom.logsf(size - 2, number - 1, shares))
        first = int(chances.argmin())
        if chances[first] < best:
            best, start, length = float(chances[first]), first, size
    return ordered[start : start + length] if best + np.log(number**2 / 2) <= np.log(level) else None


def _seconds(time: datetime | None) -> float:
    return time.timestamp() if time is not None else 0.0
