"""Figures of preference data: how many pairs are left after each step, and shares with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard import plots, words
from dashboard.charts import CALM, FAINT, GOOD, QUIET, WARN, Row
from dashboard.plots import Bar, Dot, Plot, Word

PERCENT = 100.0
# What words reads as per cent.
SHARE = "pair_share"
REPEATS = frozenset({"duplicate", "near_duplicate"})
# What says that a pair may not be used as it is, whatever it teaches.
UNCLEARED = frozenset({"form", "no_licence", "licence_denied", "no_consent", "consent_denied", "personal_data"})


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the funnel: what it counts, how many, and the colour that says what kind of thing that is."""

    name: str
    count: int
    colour: str
    told: str


def steps(states: Mapping[str, int], flagged: Mapping[str, int]) -> list[Step]:
    """Collected, left without repeats, cleared, in quarantine, approved.

    `flagged` counts the pairs that are kept back (quarantined or rejected) by their flags. A pair with flags of several
    kinds leaves at the first step that it does not pass.
    """
    total = sum(states.values())
    repeated = sum(count for flags, count in flagged.items() if REPEATS & {*flags.split()})
    barred = sum(
        count for flags, count in flagged.items() if UNCLEARED & {*flags.split()} and not REPEATS & {*flags.split()}
    )
    return [
        Step("Collected", total, QUIET, "every pair that came in"),
        Step("Without repeats", total - repeated, QUIET, f"{repeated:,} say what another pair says"),
        Step("Cleared", total - repeated - barred, CALM, f"{barred:,} lack papers, hold personal data or have no form"),
        Step("In quarantine", states.get("quarantined", 0), WARN, "wait for a person"),
        Step("Approved", states.get("approved", 0), GOOD, "may train"),
    ]


def picture(found: Sequence[Step]) -> Plot:
    """The steps as bars from 0, each with its count beside its name."""
    most = max([step.count for step in found] + [1])
    labels = [f"{step.name}  {step.count:,}" for step in found]
    figure = Plot(plots.Axis(0.0, float(most)), plots.names(labels), 34 * len(found))
    for place, step in enumerate(found):
        figure.marks.append(Bar(0.0, most, place + 0.5, FAINT, 2))
        if step.count:
            told = f"{words.count(step.count, 'pair')}: {step.told}"
            figure.marks.append(Bar(0.0, step.count, place + 0.5, step.colour, 18, told))
    return figure


def described(found: Sequence[Step]) -> str:
    """The funnel in words, for those who do not see it."""
    return "; ".join(f"{step.name}: {step.count:,}" for step in found) + "."


def shares(rows: Sequence[tuple[str, Row]], *, even: bool = True) -> Plot:
    """A line a share: a dot on its interval, in per cent; with `even` a line at one half. Too little data is said."""
    figure = Plot(
        plots.spanned(0.0, PERCENT, unit=" %", room=2.0),
        plots.names([name for name, _ in rows]),
        32 * max(len(rows), 1),
    )
    if even:
        figure.upright(PERCENT / 2, QUIET)
    for place, (name, found) in enumerate(rows):
        y = place + 0.5
        if found["value"] is None:
            figure.marks.append(Word(0.0, y, words.missing(found), beside=True))
            continue
        told = f"{name}: {share(found)}"
        figure.marks.append(Bar(PERCENT * found["low"], PERCENT * found["high"], y, CALM, 4, told))
        figure.marks.append(Dot(PERCENT * found["value"], y, CALM, 12, told))
    return figure


def share(found: Row) -> str:
    """A share with its interval and count, or how much is missing."""
    if found["value"] is None:
        return words.missing(found)
    return f"{words.number(found['value'], SHARE)} ({words.interval(found, SHARE)})"
