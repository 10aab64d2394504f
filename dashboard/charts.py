"""Figures as pure functions of rows. Names from outside are escaped: the chart library reads some HTML in labels."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dashboard import words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = Any  # a row of the store, or a dictionary like one
CALM, WARN, ALARM, QUIET, GOOD = "#3b8ea5", "#c77d1a", "#c8452d", "#8795a1", "#2e8b57"
BAND = "rgba(59, 142, 165, 0.18)"
LONGEST_NAME = 40


def plain(name: object) -> str:
    """A name as the label of a chart: short, on one line, with nothing the chart library would read as HTML."""
    text = " ".join(str(name).split())
    return html.escape(text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…")


def series(
    rows: Sequence[Row],
    metric: str,
    *,
    limits: Sequence[float] = (),
    releases: Sequence[Row] = (),
    alarms: Sequence[Row] = (),
    reference: float | None = None,
) -> Figure:
    """One metric over time with its interval as a band; gaps where there was no value, marks where it alarmed."""
    import plotly.graph_objects as go

    share = 100.0 if metric in words.SHARES else 1.0
    scaled = [
        {
            "at": row["at"],
            **{k: None if row[k] is None else row[k] * share for k in ("value", "low", "high")},
            "n": row["n"],
            "status": row["status"],
        }
        for row in rows
    ]
    figure = go.Figure()
    _band(figure, scaled, "at")
    figure.add_scatter(
        x=[row["at"] for row in scaled],
        y=[row["value"] for row in scaled],
        customdata=[words.interval(row, metric) for row in rows],
        mode="lines+markers",
        line={"color": CALM, "width": 2},
        marker={"size": [8 if row["status"] == "breach" else 4 for row in scaled], "color": _colours(scaled)},
        hovertemplate="%{x|%b %d %H:%M}<br>%{y:.4g}<br>%{customdata}<extra></extra>",
        connectgaps=False,
        showlegend=False,
    )
    for limit in limits:
        figure.add_hline(limit * share, line={"color": ALARM, "dash": "dash", "width": 1}, annotation_text="limit")
    if reference is not None:
        figure.add_hline(
            reference * share, line={"color": QUIET, "dash": "dot", "width": 1}, annotation_text="reference"
        )
    if rows:
        _mark(figure, releases, "live_at", "version", QUIET)
        _mark(figure, alarms, "fired_at", None, ALARM)
    figure.update_yaxes(ticksuffix=" %" if share == 100.0 else "", title=None, rangemode="tozero")
    return _calm(figure, 300)


def _band(figure: Figure, rows: Sequence[Row], along: str) -> None:
    """Draw the interval of each unbroken stretch of rows as a band along the column named."""
    for part in _unbroken(rows):
        places = [row[along] for row in part]
        figure.add_scatter(
            x=[*places, *places[::-1]],
            y=[*[row["high"] for row in part], *[row["low"] for row in part][::-1]],
            fill="toself",
            fillcolor=BAND,
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )


def replayed(looks: Sequence[Row], metric: str, reference: int) -> Figure:
    """A backtest: value and interval by rows read, the reference as a shaded part, a mark at each alarm."""
    import plotly.graph_objects as go

    share = 100.0 if metric in words.SHARES else 1.0
    scaled = [
        {
            "seen": look["seen"],
            **{name: None if look[name] is None else look[name] * share for name in ("value", "low", "high")},
        }
        for look in looks
    ]
    figure = go.Figure()
    _band(figure, scaled, "seen")
    figure.add_scatter(
        x=[row["seen"] for row in scaled],
        y=[row["value"] for row in scaled],
        customdata=[words.interval(look, metric) for look in looks],
        mode="lines+markers",
        line={"color": CALM, "width": 2},
        marker={"size": 4},
        hovertemplate="%{x:,} rows<br>%{y:.4g}<br>%{customdata}<extra></extra>",
        connectgaps=False,
        showlegend=False,
    )
    figure.add_vrect(0, reference, fillcolor=QUIET, opacity=0.15, line_width=0, annotation_text="reference")
    for look in looks:
        if look["alarm"]:
            figure.add_vline(look["seen"], line={"color": ALARM, "width": 1, "dash": "dot"}, annotation_text="alarm")
    figure.update_xaxes(title="rows read", rangemode="tozero")
    figure.update_yaxes(ticksuffix=" %" if share == 100.0 else "", title=None, rangemode="tozero")
    return _calm(figure, 300)


def thin(rows: Sequence[Row], most: int) -> list[Row]:
    """About `most` of `rows`: every so many-th, the last, and each whose state differs from the one before."""
    step = max(1, -(-len(rows) // most))
    turns = {place for place in range(1, len(rows)) if rows[place]["status"] != rows[place - 1]["status"]}
    return [row for place, row in enumerate(rows) if place % step == 0 or place in turns or place == len(rows) - 1]


def state_line(
    monitors: Sequence[str], alerts: Sequence[Row], releases: Sequence[Row], since: datetime, until: datetime
) -> Figure:
    """Monitors by time: a quiet line each, thick where an alert was firing, with marks where a version went live."""
    import plotly.graph_objects as go

    figure = go.Figure()
    names = {name: plain(name) for name in monitors}
    rows = list(monitors)[::-1]
    for name in rows:
        figure.add_scatter(
            x=[since, until],
            y=[names[name]] * 2,
            mode="lines",
            line={"color": "rgba(135, 149, 161, 0.45)", "width": 3},
            hoverinfo="skip",
            showlegend=False,
        )
    for alert in alerts:
        if alert["monitor"] not in names:
            continue
        start, end = max(alert["fired_at"], since), alert["resolved_at"] or until
        colour = ALARM if alert["kind"] == "rule" else WARN
        figure.add_scatter(
            x=[start, end],
            y=[names[alert["monitor"]]] * 2,
            mode="lines+markers",
            line={"color": colour, "width": 12},
            marker={"color": colour, "size": 12, "symbol": "square"},
            hovertemplate=f"{alert['kind']} from {words.clock_time(alert['fired_at'])}<extra></extra>",
            showlegend=False,
        )
    _mark(figure, releases, "live_at", "version", QUIET)
    figure.update_xaxes(range=[since, until])
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=[names[name] for name in rows])
    return _calm(figure, 90 + 30 * max(len(rows), 1))


def learning(events: Sequence[Row], field: str) -> Figure:
    """One figure of a training run by step: training as a line, the held-out pairs as diamonds."""
    import plotly.graph_objects as go

    share = 100.0 if field == "accuracy" else 1.0
    figure = go.Figure()
    for event, name, mode, colour in (("step", "training", "lines", CALM), ("eval", "held out", "lines+markers", WARN)):
        found = [row for row in events if row.get("event") == event and isinstance(row.get(field), int | float)]
        if not found:
            continue
        figure.add_scatter(
            x=[row["step"] for row in found],
            y=[row[field] * share for row in found],
            name=name,
            mode=mode if len(found) > 1 else "markers",
            line={"color": colour, "width": 2},
            marker={"color": colour, "size": 9, "symbol": "diamond"},
            hovertemplate="step %{x}<br>%{y:.4g}<extra>" + name + "</extra>",
        )
    if field == "accuracy":
        figure.add_hline(50, line={"color": QUIET, "dash": "dot", "width": 1}, annotation_text="chance")
    figure.update_xaxes(title="step")
    figure.update_yaxes(ticksuffix=" %" if share == 100.0 else "")
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}, showlegend=True)
    return _calm(figure, 230)


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


def trade_off(rows: Sequence[Row]) -> Figure:
    """Versions by over-refusal and attack success, each with both intervals; the lower left corner is best.

    A row has `version`, `attacks` and `refusals`, the last two with value, low, high and n.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for place, row in enumerate(rows):
        ends: dict[str, Any] = {}
        for axis, name in (("x", "refusals"), ("y", "attacks")):
            value, low, high = (row[name][end] * 100 for end in ("value", "low", "high"))
            ends[axis] = [value]
            ends[f"error_{axis}"] = {
                "array": [high - value],
                "arrayminus": [value - low],
                "color": CALM if place == 0 else QUIET,
                "thickness": 1.5,
            }
        said = [words.interval(row[name], "over_refusal") for name in ("refusals", "attacks")]
        figure.add_scatter(
            **ends,
            mode="markers+text",
            text=[plain(row["version"])],
            textposition="top right",
            marker={"size": 12 if place == 0 else 9, "color": CALM if place == 0 else QUIET},
            hovertemplate="refused %{x:.1f} % ("
            + said[0]
            + ")<br>got through %{y:.1f} % ("
            + said[1]
            + ")<extra></extra>",
            showlegend=False,
        )
    figure.update_xaxes(title="harmless requests refused", ticksuffix=" %", range=[-3, 103])
    figure.update_yaxes(title="attacks that got through", ticksuffix=" %", range=[-3, 108])
    return _calm(figure, 360)


def reliability(bins: Sequence[Row]) -> Figure:
    """Stated confidence against the share that was right, with its interval; on the diagonal both agree.

    `bins` are JSON of estimates.calibration.Bin; those with too few pairs for a share are left out.
    """
    import plotly.graph_objects as go

    shown = [row for row in bins if row["right"]["value"] is not None]
    right = [row["right"]["value"] * 100 for row in shown]
    figure = go.Figure()
    figure.add_scatter(
        x=[50, 100], y=[50, 100], mode="lines", line={"color": QUIET, "dash": "dot", "width": 1}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=[row["confidence"] * 100 for row in shown],
        y=right,
        error_y={
            "type": "data",
            "array": [row["right"]["high"] * 100 - value for row, value in zip(shown, right, strict=True)],
            "arrayminus": [value - row["right"]["low"] * 100 for row, value in zip(shown, right, strict=True)],
            "color": CALM,
        },
        customdata=[row["n"] for row in shown],
        mode="markers",
        marker={"color": CALM, "size": 8},
        hovertemplate="stated %{x:.1f} %<br>right %{y:.1f} %, n = %{customdata}<extra></extra>",
    )
    figure.update_xaxes(title="stated confidence", ticksuffix=" %", range=[49, 101])
    figure.update_yaxes(title="right", ticksuffix=" %", range=[0, 102])
    figure.update_layout(showlegend=False)
    return _calm(figure, 230)


def shares(rows: Sequence[Row]) -> Figure:
    """Topics or segments: the share now beside the share in the reference, those that moved most on top."""
    import plotly.graph_objects as go

    shown = [row for row in rows if row.get("share_now") is not None][::-1]
    labels = [f"{place}. {plain(row['name'])}" for place, row in zip(range(len(shown), 0, -1), shown, strict=True)]
    figure = go.Figure()
    for key, name, colour in (("share_reference", "reference", QUIET), ("share_now", "now", CALM)):
        figure.add_bar(
            y=labels,
            x=[(row.get(key) or 0.0) * 100 for row in shown],
            name=name,
            orientation="h",
            marker={"color": colour},
            hovertemplate="%{x:.1f} %<extra>" + name + "</extra>",
        )
    figure.update_layout(
        barmode="group", legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "reversed"}
    )
    figure.update_xaxes(ticksuffix=" %")
    return _calm(figure, 80 + 46 * max(len(shown), 1))


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


def _unbroken(rows: Sequence[Row]) -> list[list[Row]]:
    parts: list[list[Row]] = [[]]
    for row in rows:
        if row["low"] is None or row["high"] is None:
            parts.append([])
        else:
            parts[-1].append(row)
    return [part for part in parts if part]


def _colours(rows: Sequence[Row]) -> list[str]:
    return [{"breach": ALARM, "error": WARN}.get(row["status"], CALM) for row in rows]


def _mark(figure: Figure, rows: Sequence[Row], at: str, name: str | None, colour: str) -> None:
    for row in rows:
        if row[at] is not None:
            moment = row[at].timestamp() * 1000  # the library adds an annotation's place as a number
            label = plain(row[name]) if name else "alarm"
            figure.add_vline(
                moment,
                line={"color": colour, "width": 1, "dash": "dot"},
                annotation_text=label,
                annotation_position="top left",
                annotation_font_size=11,
            )


def _calm(figure: Figure, height: int) -> Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 24},
        hovermode="closest",
        dragmode=False,
    )
    figure.update_xaxes(showgrid=False, fixedrange=True, automargin=True)
    figure.update_yaxes(fixedrange=True, automargin=True)
    return figure
