"""A canary as one figure: for each measure the candidate's rate above the champion's, each a dot on its interval."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard import plots, words
from dashboard.charts import ALARM, CALM, QUIET, Row, plain
from dashboard.plots import Bar, Dot, Plot, Word

PERCENT = 100.0


def rates(measures: Sequence[Row], candidate: str, champion: str) -> Plot:
    """Two lines a measure, in per cent; a version with too few answers has an empty line that says so.

    A measure has `name`, `verdict`, and under `candidate` and `champion` an estimate. Red: the candidate is worse.
    """
    lines = [
        (measure, version, name)
        for measure in measures
        for version, name in (("candidate", candidate), ("champion", champion))
    ]
    ends = [PERCENT * (measure[version]["high"] or 0.0) for measure, version, _ in lines]
    labels = [f"{words.title(measure['name'])}, {plain(name)}" for measure, _, name in lines]
    figure = Plot(plots.numbers(ends, unit=" %"), plots.names(labels), 30 * max(len(lines), 1))
    for place, (measure, version, _) in enumerate(lines):
        found, y = measure[version], place + 0.5
        if found["value"] is None:
            figure.marks.append(Word(0.0, y, words.missing(found), beside=True))
            continue
        worse = version == "candidate" and measure["verdict"] == "fail"
        colour = ALARM if worse else CALM if version == "candidate" else QUIET
        told = f"{words.number(found['value'], measure['name'])} ({words.interval(found, measure['name'])})"
        figure.marks.append(Bar(PERCENT * found["low"], PERCENT * found["high"], y, colour, 4, told))
        figure.marks.append(Dot(PERCENT * found["value"], y, colour, 12, told))
    return figure


def described(measures: Sequence[Row]) -> str:
    """The figure in words, for those who do not see it."""
    told = []
    for measure in measures:
        both = [
            f"{version} {words.number(measure[version]['value'], measure['name'])} "
            f"({words.interval(measure[version], measure['name'])})"
            for version in ("candidate", "champion")
        ]
        told.append(f"{words.title(measure['name'])}: {', '.join(both)}.")
    return " ".join(told)
