"""The tracker that watches how traffic divides into kinds (languages, forms): any change of the kinds' shares."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core.errors import InvalidInput
from core.types import Estimate, Measurement
from estimates.proportions import proportion
from monitors.metrics import Unit
from monitors.rates import RateTracker, onset, scaled, unchanged
from monitors.statistics.rates import RateTest

SCORING_PART = 0.3
WINDOW = 200
MOST_KINDS = 101  # the rate test tells so many values apart


class ShareTracker(RateTracker):
    """An epoch of the rate test on the rarity of each unit's kind; a unit's value is the kind's index in `kinds`.

    A part of the reference, drawn by chance and then set aside, orders the kinds from the commonest to those never
    seen; the rest of the reference and the stream are ranked in this fixed order, so that the test's promise holds
    exactly (split conformal prediction: Papadopoulos et al. 2002). A change of any shares moves the distribution of
    the ranks; a new kind has the smallest p-values. The number shown is the share outside the reference's commonest
    kind.
    """

    def __init__(self, name: str, words: str, kinds: Sequence[str], test: RateTest, state: Mapping[str, Any]) -> None:
        self.kinds = tuple(kinds)
        self.ranks = [int(rank) for rank in state["ranks"]]
        self.counts = [int(count) for count in state["counts"]]
        if not len(self.ranks) == len(self.counts) == len(self.kinds):
            raise InvalidInput(f"The stored state of {name} is of other kinds.", "Start a new epoch.")
        self.usual = max(range(len(self.kinds)), key=lambda kind: self.counts[kind])
        super().__init__(name, words, test, self._unusual, lambda code: rarity(code, self.ranks), state)

    def measure(self) -> list[Measurement]:
        """The share of the latest units outside the usual kind, with every kind's share beside the reference's."""
        (measured,) = super().measure()
        shares = {
            self.kinds[kind]: {"now": round(now, 4), "reference": round(then, 4)}
            for kind, (now, then) in enumerate(self._shares(self.recent[-WINDOW:]))
            if now or then
        }
        reason = self._grown(self._since_onset()) if self.firing else measured.reason
        details = {**measured.details, "usual": self.kinds[self.usual], "shares": shares}
        return [replace(measured, reason=reason, details=details)]

    def why(self) -> dict[str, Any]:
        """The window that deviates most, the kind that grew most in it, and rows of the kinds that grew."""
        window = self._since_onset()
        growth = [now - then for now, then in self._shares(window)]
        telling = sorted(window, key=lambda row: (-growth[int(row[2])], -row[0]))[:5]
        return {
            "view": self.name,
            "view_words": self._grown(window),
            "onset_key": window[0][0] if window else None,
            "since_onset": sorted({row[1] for row in window}),
            "rows": [
                {"inference": row[1], "view": self.kinds[int(row[2])], "score": growth[int(row[2])]} for row in telling
            ],
        }

    def state(self) -> dict[str, Any]:
        """The whole state, fit for JSON."""
        return {**super().state(), "ranks": self.ranks, "counts": self.counts}

    def _unusual(self, codes: Sequence[float]) -> Estimate:
        return proportion(sum(int(code) != self.usual for code in codes), len(codes))

    def _since_onset(self) -> list[list[Any]]:
        return self.recent[onset([self.scale(row[2]) for row in self.recent], self.centre) :]

    def _grown(self, window: Sequence[Sequence[Any]]) -> str:
        shares = self._shares(window)
        most = max(range(len(shares)), key=lambda kind: shares[kind][0] - shares[kind][1])
        now, then = shares[most]
        return f"{self.words} Most grown: {self.kinds[most]}, {now:.0%} now, {then:.0%} in the reference."

    def _shares(self, rows: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
        """Of every kind the share in `rows` and in the reference."""
        now, total = Counter(int(row[2]) for row in rows), sum(self.counts)
        return [(now[kind] / max(len(rows), 1), count / total) for kind, count in enumerate(self.counts)]


def started(
    name: str, words: str, kinds: Sequence[str], reference: Sequence[Unit], *, alpha: float, horizon: int, seed: int
) -> ShareTracker:
    """A new epoch on the reference given. Raises InvalidInput when it is too small, or a value is no kind's index."""
    if not 1 < len(kinds) <= MOST_KINDS:
        raise InvalidInput(f"{name} has {len(kinds)} kinds.", f"Between 2 and {MOST_KINDS} can be watched.")
    codes = [_index(scaled(name, unit, unchanged), len(kinds)) for unit in reference]
    part = np.random.default_rng([seed, 1]).permutation(len(codes))
    cut = round(SCORING_PART * len(codes))
    ranks = rank([codes[i] for i in part[:cut]], kinds)
    kept = sorted(part[cut:])
    rarities, strata = [rarity(codes[i], ranks) for i in kept], [reference[i].stratum for i in kept]
    test = RateTest.fit(rarities, alpha=alpha, seed=seed, horizon=horizon, side="change", strata=strata)
    counts = Counter(codes)
    state = {"ranks": ranks, "counts": [counts[kind] for kind in range(len(kinds))], "centre": float(np.mean(rarities))}
    tracker = ShareTracker(name, words, kinds, test, state)
    shown = tracker.summary(codes)
    tracker.reference = {"value": shown.value, "low": shown.low, "high": shown.high, "n": shown.n}
    return tracker


def restored(name: str, words: str, kinds: Sequence[str], state: bytes) -> ShareTracker:
    """The tracker that `to_bytes` wrote. Raises InvalidInput when the bytes are not such a state of these kinds."""
    try:
        loaded = json.loads(state)
        return ShareTracker(name, words, kinds, RateTest.from_dict(loaded["test"]), loaded)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"The stored state of {name} cannot be read.", "Start a new epoch.") from error


def rank(codes: Sequence[int], kinds: Sequence[str]) -> list[int]:
    """The place of each kind from the commonest in `codes` (0) to the rarest; ties in the order of `kinds`."""
    seen = Counter(codes)
    order = sorted(range(len(kinds)), key=lambda kind: -seen[kind])
    places = [0] * len(kinds)
    for place, kind in enumerate(order):
        places[kind] = place
    return places


def rarity(code: float, ranks: Sequence[int]) -> float:
    """The rank of the kind with index `code`, from 0 to 1. Raises InvalidInput where there is no such kind."""
    return ranks[_index(code, len(ranks))] / (len(ranks) - 1)


def _index(code: float, size: int) -> int:
    if code != int(code) or not 0 <= code < size:
        raise InvalidInput("A value is not the index of a kind.", "Check what computes it.")
    return int(code)
