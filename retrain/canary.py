"""Judges a promotion on trial from what its users met: worse, ready to serve everybody, or not enough evidence yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import ceil, exp, log
from typing import Any, Literal

from core.errors import InvalidInput
from core.types import Estimate, Inference, Verdict
from estimates.allocation import excess_evidence
from estimates.sequences import rate_sequence
from monitors.detectors.refusal import refuses
from retrain.versus import Compared, compare

MEASURES = ("negative_feedback", "refusal_rate", "errors")
WORDS = {"negative_feedback": "disliked", "refusal_rate": "refusing", "errors": "failed"}
_MOST = 700.0  # exp() of more is no float
# How seldom a draw that is as it should be may be taken for one that is not.
SPLIT = 0.001


@dataclass(slots=True)
class Tally:
    """Units that one version answered so far, and those of them where it went wrong."""

    units: int = 0
    events: int = 0

    def add(self, event: bool) -> None:
        """Count one unit."""
        self.units += 1
        self.events += event


@dataclass(frozen=True, slots=True)
class Judged:
    """One measure: each version's rate, the evidence that the candidate's is higher, and what follows.

    `needed` is how many more answers of the candidate may settle it, 0 where it is settled or no number would do.
    """

    name: str
    verdict: Verdict
    reason: str
    candidate: Estimate
    champion: Estimate
    evidence: float
    limit: float
    needed: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from a look at a trial: `worse` ends it, `go` lets it go on, `wait` says what is missing.

    `compared` is for people: it names the better of both on feedback, and moves nothing.
    """

    outcome: Literal["worse", "go", "wait"]
    reason: str
    answered: int
    wanted: int
    needed: int = 0
    measures: Sequence[Judged] = ()
    compared: Compared | None = None

    def json(self) -> dict[str, Any]:
        """The whole of it, for the row that the console reads: equal to what the row gives back."""
        return {**asdict(self), "measures": [asdict(measure) for measure in self.measures]}


@dataclass(slots=True)
class Counts:
    """What is known of a canary, one value for each user, conversation or lone request: whatever was drawn as one.

    The first answer of a unit counts, and its first judgement: a unit's answers resemble one another.
    """

    candidate: str
    champion: str
    tallies: dict[str, dict[str, Tally]] = field(default_factory=dict)
    _met: dict[str, set[str]] = field(default_factory=dict)

    def take(self, row: Inference) -> None:
        """Count a live answer. What clients got wrong, and those who left, say nothing about a version."""
        if 400 <= row.status < 500:
            return
        unit = row.user or row.conversation or row.uuid
        self.count("errors", row.version, unit, row.status >= 500 or bool(row.error))
        if row.status == 200 and (told := refuses(row.prompt, row.response)) is not None:
            self.count("refusal_rate", row.version, unit, told)

    def count(self, measure: str, version: str, unit: str, event: bool) -> None:
        """Count what `unit` met first."""
        met = self._met.setdefault(measure, set())
        if version in (self.candidate, self.champion) and unit not in met:
            met.add(unit)
            self.of(measure, version).add(event)

    def of(self, measure: str, version: str) -> Tally:
        """The tally of a version."""
        return self.tallies.setdefault(measure, {}).setdefault(version, Tally())

    def pairs(self) -> dict[str, tuple[Tally, Tally]]:
        """Candidate's and champion's tally by measure."""
        return {name: (self.of(name, self.candidate), self.of(name, self.champion)) for name in MEASURES}


def judge(
    pairs: Mapping[str, tuple[Tally, Tally]], *, share: float, wanted: int, alpha: float, margin: float
) -> Judgement:
    """Return what follows from the tallies (candidate, champion) of each measure; may be asked at every answer.

    `worse` once one measure's evidence reaches its part of `alpha`: a candidate that is no worse on any measure is
    ever called so with probability at most `alpha`, over all looks and measures together. `go` once the candidate
    answered `wanted` units and, with a `margin` above 0, each measure's increase is under it by two confidence
    sequences that together miss with probability at most `alpha`. `wait`, whatever else was found, where the candidate
    met more units than its `share` can explain: the events rest on that share. Raises InvalidInput unless
    0 < `alpha` < 1.
    """
    if not 0 < alpha < 1:
        raise InvalidInput(f"retrain.canary_alpha is {alpha}.", "Set it between 0 and 1, as 0.05.")
    found = _judged(pairs, share=share, wanted=wanted, alpha=alpha, margin=margin)
    return replace(found, compared=_compared(pairs, share=share, alpha=alpha))


def _judged(
    pairs: Mapping[str, tuple[Tally, Tally]], *, share: float, wanted: int, alpha: float, margin: float
) -> Judgement:
    limit = log(len(pairs) / alpha)
    judged = [
        _measure(name, *pair, share=share, limit=limit, alpha=alpha, margin=margin) for name, pair in pairs.items()
    ]
    answered = pairs["errors"][0].units
    worse = [one for one in judged if one.verdict == "fail"]
    met = answered + pairs["errors"][1].units
    if excess_evidence(answered, met, share) >= -log(SPLIT):
        return Judgement("wait", _broken(answered, met, share), answered, wanted, 0, judged)
    if worse:
        return Judgement("worse", " ".join(one.reason for one in worse), answered, wanted, 0, judged)
    unsettled = [one for one in judged if one.verdict == "undecided"]
    # A judged answer is one of several: as many more answers bring as many more judgements as before.
    more = [ceil(one.needed * max(answered, 1) / max(one.candidate.n, 1)) for one in unsettled]
    needed = max([wanted - answered, *more, 0])
    if answered < wanted or unsettled:
        return Judgement("wait", _missing(needed, unsettled), answered, wanted, needed, judged)
    proved = f" and is at most {100 * margin:g} points worse" if margin > 0 else ""
    reason = f"{answered} units met the candidate; it is not proved worse on any measure{proved}."
    return Judgement("go", reason, answered, wanted, 0, judged)


def _compared(pairs: Mapping[str, tuple[Tally, Tally]], *, share: float, alpha: float) -> Compared | None:
    """Both versions on feedback; None where either met more people than its share explains: the events rest on that."""
    met = [tally.units for tally in pairs["errors"]]
    draws = zip(met, (share, 1 - share), strict=True)
    if any(excess_evidence(units, sum(met), part) >= -log(SPLIT / 2) for units, part in draws):
        return None
    candidate, champion = pairs["negative_feedback"]
    return compare(candidate.events, champion.events, share=share, alpha=alpha)


def judge_shadow(tally: Tally, *, wanted: int, alpha: float, margin: float) -> Judgement:
    """Return what follows from copied requests: whether the candidate answers them at all.

    `worse` when more than `margin` of them fail, by a confidence sequence that misses with probability at most
    `alpha` over all looks; `go` after `wanted` answers.
    """
    failed = rate_sequence(tally.events, tally.units, minimum=1, level=1 - alpha)
    if failed.low is not None and failed.low > margin:
        reason = f"{tally.events} of {tally.units} copied requests failed."
        return Judgement("worse", reason, tally.units, wanted)
    if tally.units < wanted:
        needed = wanted - tally.units
        return Judgement("wait", f"{needed} more copied answers are needed.", tally.units, wanted, needed)
    return Judgement("go", f"{tally.events} of {tally.units} copied requests failed.", tally.units, wanted)


def _measure(
    name: str, candidate: Tally, champion: Tally, *, share: float, limit: float, alpha: float, margin: float
) -> Judged:
    theirs = rate_sequence(candidate.events, candidate.units, level=1 - alpha / 2)
    ours = rate_sequence(champion.events, champion.units, level=1 - alpha / 2)
    events = candidate.events + champion.events
    found = excess_evidence(candidate.events, events, share)
    shown = exp(min(found, _MOST)), exp(limit)
    word = WORDS[name]
    if found >= limit:
        reason = (
            f"{candidate.events} of {events} {word} answers are the candidate's, which gets {100 * share:g} % of the "
            f"traffic: evidence {shown[0]:,.0f}, limit {shown[1]:,.0f}."
        )
        return Judged(name, "fail", reason, theirs, ours, *shown)
    if margin <= 0:
        return Judged(name, "pass", "Not proved worse.", theirs, ours, *shown)
    return _within(name, theirs, ours, shown, margin)


def _within(name: str, theirs: Estimate, ours: Estimate, shown: tuple[float, float], margin: float) -> Judged:
    if theirs.value is None or ours.value is None or theirs.high is None or ours.low is None:
        return Judged(name, "undecided", "Not enough data.", theirs, ours, *shown, max(theirs.needed, ours.needed))
    increase, most = theirs.value - ours.value, theirs.high - ours.low
    if most < margin:
        reason = f"At most {100 * most:.1f} points worse: under the margin of {100 * margin:g}."
        return Judged(name, "pass", reason, theirs, ours, *shown)
    reason = f"It may be {100 * most:.1f} points worse; the margin is {100 * margin:g}."
    room = margin - increase
    # Intervals narrow with the root of what was counted.
    needed = ceil(theirs.n * (((most - increase) / room) ** 2 - 1)) if room > 0 else 0
    return Judged(name, "undecided", reason, theirs, ours, *shown, max(needed, 1) if room > 0 else 0)


def _broken(answered: int, met: int, share: float) -> str:
    return (
        f"{answered} of {met} met the candidate, more than {100 * share:g} % explain: nothing follows from its numbers."
    )


def _missing(needed: int, unsettled: Sequence[Judged]) -> str:
    open_ones = ", ".join(one.name.replace("_", " ") for one in unsettled)
    about = f" Not settled: {open_ones}." if open_ones else ""
    more = f"about {needed} more answers needed" if needed else "it stands above the margin"
    return f"Not enough evidence: {more}.{about}"
