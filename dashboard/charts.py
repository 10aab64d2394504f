"""Figures as pure functions of rows. Names from outside are shortened here and escaped where they are drawn."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from dashboard import plots, words
from dashboard.plots import Axis, Bar, Dot, Line, Plot

Row = Any  # a row of the store, or a dictionary like one
CALM, WARN, ALARM, QUIET, GOOD = "#3b8ea5", "#c77d1a", "#c8452d", "#8795a1", "#2e8b57"
BAND = "rgba(59, 142, 165, 0.18)"
FAINT = "rgba(135, 149, 161, 0.45)"
LONGEST_NAME = 40
WORD_ROOM = 15.0  # per cent of a figure's width that a word beside a line may take


def plain(name: object) -> str:
    """A name as the label of a chart: short and on one line."""
    text = " ".join(str(name).split())
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def series(
    rows: Sequence[Row],
    metric: str,
    *,
    limits: Sequence[float] = (),
    releases: Sequence[Row] = (),
    alarms: Sequence[Row] = (),
    reference: float | None = None,
) -> Plot:
    """One metric over time with its interval as a band; gaps where there was no value, marks where it alarmed."""
    marks: list[tuple[str, float]] = [("limit", limit) for limit in limits]
    marks += [("reference", reference)] if reference is not None else []
    value = _values(rows, metric, [at for _, at in marks])
    since = min((row["at"] for row in rows), default=datetime.fromtimestamp(0, UTC))
    until = max((row["at"] for row in rows), default=since)
    figure = Plot(plots.moments(since, until), value, 260)
    _course(figure, rows, metric, lambda row: row["at"].timestamp(), lambda row: f"{row['at']:%b %d %H:%M}")
    scale, _ = words.unit(metric)
    for word, at in marks:
        figure.level(
            at * scale, ALARM if word == "limit" else QUIET, dash="5 3" if word == "limit" else "2 3", word=word
        )
    if rows:
        _mark(figure, releases, "live_at", "version", QUIET)
        _mark(figure, alarms, "fired_at", None, ALARM)
    return figure


def replayed(looks: Sequence[Row], metric: str, reference: int) -> Plot:
    """A backtest: value and interval by rows read, the reference as a shaded part, a mark at each alarm."""
    read = plots.numbers([reference, *(look["seen"] for look in looks)], title="rows read")
    figure = Plot(read, _values(looks, metric), 260)
    corners = ((0, figure.y.low), (0, figure.y.high), (reference, figure.y.high), (reference, figure.y.low))
    figure.marks.append(Line(corners, "rgba(135, 149, 161, 0.15)", filled=True))
    figure.marks.append(plots.Word(0, figure.y.high, "reference"))
    _course(figure, looks, metric, lambda look: look["seen"], lambda look: f"{look['seen']:,} rows")
    for look in looks:
        if look["alarm"]:
            figure.upright(look["seen"], ALARM, word="alarm")
    return figure


def _values(rows: Sequence[Row], metric: str, more: Sequence[float] = ()) -> Axis:
    """The upright axis for a metric's values, their intervals and `more`, in the metric's unit."""
    scale, unit = words.unit(metric)
    found = [row[end] for row in rows for end in ("value", "low", "high") if row[end] is not None]
    return plots.numbers([number * scale for number in (*found, *more)], unit=unit if scale != 1.0 else "")


def _course(
    figure: Plot, rows: Sequence[Row], metric: str, along: Callable[[Row], float], told: Callable[[Row], str]
) -> None:
    """Draw a metric's values with the interval of each unbroken stretch as a band."""
    scale, _ = words.unit(metric)
    for part in _unbroken(rows, "low", "high"):
        above = [(along(row), row["high"] * scale) for row in part]
        beneath = [(along(row), row["low"] * scale) for row in part]
        figure.marks.append(Line((*above, *beneath[::-1]), BAND, filled=True))
    for part in _unbroken(rows, "value"):
        figure.marks.append(Line(tuple((along(row), row["value"] * scale) for row in part), CALM))
    for row in rows:
        if row["value"] is not None:
            status = row.get("status", "ok")
            said = f"{told(row)}\n{words.number(row['value'], metric)}\n{words.interval(row, metric)}"
            colour = {"breach": ALARM, "error": WARN}.get(status, CALM)
            figure.marks.append(Dot(along(row), row["value"] * scale, colour, 8 if status == "breach" else 5, said))


def thin(rows: Sequence[Row], most: int) -> list[Row]:
    """About `most` of `rows`: every so many-th, the last, and each whose state differs from the one before."""
    step = max(1, -(-len(rows) // most))
    turns = {place for place in range(1, len(rows)) if rows[place]["status"] != rows[place - 1]["status"]}
    return [row for place, row in enumerate(rows) if place % step == 0 or place in turns or place == len(rows) - 1]


def state_line(
    monitors: Sequence[str], alerts: Sequence[Row], releases: Sequence[Row], since: datetime, until: datetime
) -> Plot:
    """Monitors by time: a quiet line each, thick where an alert was firing, with marks where a version went live."""
    figure = Plot(
        plots.moments(since, until), plots.names([plain(name) for name in monitors]), 30 * max(len(monitors), 1)
    )
    places = {name: place + 0.5 for place, name in enumerate(monitors)}
    ends = figure.x.low, figure.x.high
    figure.marks += [Bar(*ends, place, FAINT, 3) for place in places.values()]
    for alert in alerts:
        if alert["monitor"] in places:
            start, end = max(alert["fired_at"], since), alert["resolved_at"] or until
            colour = ALARM if alert["kind"] == "rule" else WARN
            told = f"{alert['kind']} from {words.clock_time(alert['fired_at'])}"
            figure.marks.append(Bar(start.timestamp(), end.timestamp(), places[alert["monitor"]], colour, 12, told))
    _mark(figure, releases, "live_at", "version", QUIET)
    return figure


def learning(events: Sequence[Row], field: str) -> Plot:
    """One figure of a training run by step: training as a line, the held-out pairs as diamonds."""
    scale, unit = (100.0, " %") if field == "accuracy" else (1.0, "")
    drawn = {
        event: [row for row in events if row.get("event") == event and isinstance(row.get(field), int | float)]
        for event in ("step", "eval")
    }
    found = [row for rows in drawn.values() for row in rows]
    chance = [50.0] if field == "accuracy" else []
    heights = plots.numbers([*(row[field] * scale for row in found), *chance], unit=unit, zero=False)
    figure = Plot(plots.numbers([row["step"] for row in found], title="step", zero=False), heights, 180)
    for event, name, colour in (("step", "training", CALM), ("eval", "held out", WARN)):
        points = tuple((row["step"], row[field] * scale) for row in drawn[event])
        if points:
            figure.key = (*figure.key, (name, colour))
        if len(points) > 1:
            figure.marks.append(Line(points, colour))
        for x, y in points:
            if event == "eval" or len(points) == 1:
                told = f"{name}, step {x}\n{y:.4g}{unit}"
                figure.marks.append(Dot(x, y, colour, 9, told, "diamond"))
    for at in chance:
        figure.level(at, QUIET, word="chance")
    return figure


def difference(low: float, value: float, high: float, limit: float | None, colour: str, alt: str) -> str:
    """A gate's difference as an image element: a dot on its interval, a line at zero and one at the limit."""
    ends = [low, high, value, 0.0, limit or 0.0]
    start, room = min(ends), (max(ends) - min(ends)) or 1.0

    def place(number: float) -> float:
        return 20 + 260 * (number - start) / room

    lines = [(0.0, "0", QUIET, "2 3")]
    if limit:
        lines.append((limit, "limit", ALARM, "5 3"))
    drawn = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 56" width="300" height="56" font-family="sans-serif">'
    ]
    for at, word, ink, dash in lines:
        x = f"{place(at):.1f}"
        drawn.append(f'<line x1="{x}" x2="{x}" y1="4" y2="38" stroke="{ink}" stroke-dasharray="{dash}"/>')
        drawn.append(f'<text x="{x}" y="52" font-size="11" text-anchor="middle" fill="{ink}">{word}</text>')
    drawn.append(
        f'<line x1="{place(low):.1f}" x2="{place(high):.1f}" y1="21" y2="21" stroke="{colour}" stroke-width="4"/>'
        f'<circle cx="{place(value):.1f}" cy="21" r="6.5" fill="{colour}"/></svg>'
    )
    return _image("".join(drawn), alt, 300, 56)


def trade_off(rows: Sequence[Row]) -> Plot:
    """Versions by over-refusal and attack success, each with both intervals; the lower left corner is best.

    A row has `version`, `attacks` and `refusals`, the last two with value, low, high and n.
    """
    figure = Plot(
        plots.spanned(0, 100, unit=" %", title="harmless requests refused", room=3),
        plots.spanned(0, 100, unit=" %", title="attacks that got through", room=3),
        310,
    )
    for place, row in enumerate(rows):
        colour = QUIET if place else CALM
        across, up = (
            {end: row[name][end] * 100 for end in ("value", "low", "high")} for name in ("refusals", "attacks")
        )
        told = "\n".join(
            f"{said} {words.number(row[name]['value'], 'over_refusal')} ({words.interval(row[name], 'over_refusal')})"
            for name, said in (("refusals", "refused"), ("attacks", "got through"))
        )
        figure.marks += [
            Line(((across["low"], up["value"]), (across["high"], up["value"])), colour, 1.5),
            Line(((across["value"], up["low"]), (across["value"], up["high"])), colour, 1.5),
            Dot(across["value"], up["value"], colour, 9 if place else 12, told),
            plots.Word(across["value"], up["value"], plain(row["version"])),
        ]
    return figure


def reliability(bins: Sequence[Row]) -> Plot:
    """Stated confidence against the share that was right, with its interval; on the diagonal both agree.

    `bins` are JSON of estimates.calibration.Bin; those with too few pairs for a share are left out.
    """
    figure = Plot(
        plots.spanned(50, 100, unit=" %", title="stated confidence", room=2),
        plots.spanned(0, 100, unit=" %", title="right", room=2),
        180,
    )
    figure.marks.append(Line(((50, 50), (100, 100)), QUIET, 1, "2 3"))
    for row in bins:
        value, low, high = (row["right"][end] for end in ("value", "low", "high"))
        if value is not None:
            stated = row["confidence"] * 100
            told = f"stated {stated:.1f} %\nright {value * 100:.1f} %, n = {row['n']}"
            figure.marks.append(Line(((stated, low * 100), (stated, high * 100)), CALM))
            figure.marks.append(Dot(stated, value * 100, CALM, 8, told))
    return figure


def shares(rows: Sequence[Row]) -> Plot:
    """Topics or segments: the share now beside the share in the reference, those that moved most on top."""
    shown = [row for row in rows if row.get("share_now") is not None]
    labels = [f"{place}. {plain(row['name'])}" for place, row in enumerate(shown, 1)]
    sides = (("share_now", "now", CALM, -7), ("share_reference", "reference", QUIET, 7))
    parts = [(row.get(key) or 0.0) * 100 for row in shown for key, *_ in sides]
    figure = Plot(plots.numbers(parts, unit=" %"), plots.names(labels), 46 * max(len(shown), 1))
    figure.key = tuple((name, colour) for _, name, colour, _ in sides)
    for place, row in enumerate(shown):
        for key, name, colour, below in sides:
            share = (row.get(key) or 0.0) * 100
            figure.marks.append(Bar(0, share, place + 0.5, colour, 13, f"{name} {share:.1f} %", below))
    return figure


def spark(values: Sequence[float], alt: str) -> str:
    """Recent values as an image element with a small line, oldest first. `alt` is the program's own words."""
    low, high = min(values), max(values)
    room = (high - low) or 1.0
    across = 196 / max(len(values) - 1, 1)
    points = [(2 + place * across, 36 - 32 * (value - low) / room) for place, value in enumerate(values)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 204 40" width="204" height="40">'
        f'<polyline points="{path}" fill="none" stroke="{CALM}" stroke-width="2" stroke-linejoin="round"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{CALM}"/></svg>'
    )
    return _image(drawn, alt, 204, 40)


def _image(drawn: str, alt: str, width: int, height: int) -> str:
    source = f"data:image/svg+xml,{quote(drawn)}"
    return f'<img src="{source}" alt="{html.escape(alt)}" width="{width}" height="{height}" style="max-width:100%">'


def _unbroken(rows: Iterable[Row], *needed: str) -> list[list[Row]]:
    """The stretches of rows that have what is needed."""
    parts: list[list[Row]] = [[]]
    for row in rows:
        if any(row[name] is None for name in needed):
            parts.append([])
        else:
            parts[-1].append(row)
    return [part for part in parts if part]


def _mark(figure: Plot, rows: Sequence[Row], at: str, name: str | None, colour: str) -> None:
    """A line for each row within the figure's time; a word beside it, the latest first, where there is room beside the
    words already there."""
    worded: list[float] = []
    for row in sorted((row for row in rows if row[at] is not None), key=lambda row: row[at], reverse=True):
        place = figure.x.share(row[at].timestamp())
        if not -1 <= place <= 101:  # an alarm is entered a moment after the look that raised it
            continue
        room = all(abs(place - other) >= WORD_ROOM for other in worded)
        word = plain(row[name]) if name else "alarm"
        figure.upright(row[at].timestamp(), colour, word=word if room else "")
        worded += [place] if room else []
