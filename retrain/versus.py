"""Compares a trial's two versions on what people disliked, in both directions and at every look: an A/B test."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, log
from typing import Literal

from estimates.allocation import excess_evidence

_MOST = 700.0  # exp() of more is no float
_STEP, _FARTHEST = 1.1, 1000.0  # how finely and how far ahead `needed` is looked for


@dataclass(frozen=True, slots=True)
class Compared:
    """What the feedback of both arms says: the candidate is disliked more (worse), less (better), or it is open.

    `worse` and `better` are e-values, each against its `limit`. `needed` is how many more disliked answers would settle
    it if they fell as those so far did; 0 where it is settled or nothing leans either way.
    """

    outcome: Literal["better", "worse", "open"]
    reason: str
    disliked: int
    worse: float
    better: float
    limit: float
    needed: int = 0


def compare(candidate: int, champion: int, *, share: float, alpha: float) -> Compared:
    """Return what the disliked answers of each say (one a person), where the candidate was drawn with `share`.

    Where both are disliked alike, a difference is ever named with probability at most `alpha`, over all looks and both
    directions (alpha / 2 each); where one is disliked more, the other is ever named as worse with probability at most
    alpha / 2. By the events alone (`estimates.allocation`): rates may change together over time. People must judge an
    answer of either version equally often.
    """
    hits, events = candidate, candidate + champion
    limit = log(2 / alpha)
    worse, better = evidence(candidate, champion, share=share)
    shown = exp(min(worse, _MOST)), exp(min(better, _MOST)), exp(limit)
    counted = f"{hits} of {events} disliked answers are the candidate's, which gets {100 * share:g} % of the people"
    if worse >= limit:
        return Compared("worse", f"The candidate is disliked more: {counted}.", events, *shown)
    if better >= limit:
        return Compared("better", f"The candidate is disliked less: {counted}.", events, *shown)
    if not events:
        return Compared("open", "Open: nothing was disliked yet.", events, *shown)
    if needed := _needed(hits, events, share, limit):
        reason = f"Open: {counted}. About {needed} more disliked answers, falling alike, would settle it."
        return Compared("open", reason, events, *shown, needed)
    return Compared("open", f"Open: {counted}. So far nothing leans either way.", events, *shown)


def evidence(candidate: int, champion: int, *, share: float) -> tuple[float, float]:
    """Return the logarithms of the e-values that the candidate is disliked more, and less, than the champion."""
    events = candidate + champion
    return excess_evidence(candidate, events, share), excess_evidence(champion, events, 1 - share)


def _needed(hits: int, events: int, share: float, limit: float) -> int:
    """How many more events, falling as those so far did, bring either direction to `limit`; 0 where too many would."""
    times = _STEP
    while events and times < _FARTHEST:
        n = ceil(events * times)
        part = round(hits * n / events)
        if max(evidence(part, n - part, share=share)) >= limit:
            return n - events
        times *= _STEP
    return 0
