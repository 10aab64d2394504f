"""Gaps between groups as a figure: a dot on its interval for each, the worst on top, small groups hatched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.charts import ALARM, CALM, QUIET, WARN, Row, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

POINTS = 100.0


def gaps(rows: Sequence[Row], *, limit: float | None) -> Figure:
    """A line a row: `name`, `value`, `low`, `high` and `told` (what hovering says). A row without a value is hatched.

    Red where the whole interval is past `limit`, orange where it only leaves out 0. In points of 100.
    """
    import plotly.graph_objects as go

    labels = [f"{place}. {plain(row['name'])}" for place, row in enumerate(rows, start=1)]
    shown = [(label, row) for label, row in zip(labels, rows, strict=True) if row["value"] is not None]
    ends = [abs(row[end]) for _, row in shown for end in ("low", "high")]
    reach = POINTS * max([*ends, 2 * (limit or 0.0), 0.1])
    figure = go.Figure()
    figure.add_bar(
        y=[label for label, row in zip(labels, rows, strict=True) if row["value"] is None],
        x=[2 * reach for row in rows if row["value"] is None],
        base=-reach,
        orientation="h",
        marker={"color": "rgba(135, 149, 161, 0.12)", "pattern": {"shape": "/", "fgcolor": QUIET, "size": 6}},
        customdata=[plain(row["told"]) for row in rows if row["value"] is None],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    for label, row in shown:
        colour = colour_of(row["low"], row["high"], limit)
        figure.add_scatter(
            x=[POINTS * row["low"], POINTS * row["high"]],
            y=[label, label],
            mode="lines",
            line={"color": colour, "width": 4},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=[POINTS * row["value"]],
            y=[label],
            mode="markers",
            marker={"color": colour, "size": 12},
            customdata=[plain(row["told"])],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )
    figure.add_vline(0.0, line={"color": QUIET, "dash": "dot", "width": 1})
    for end in (-limit, limit) if limit else ():
        figure.add_vline(POINTS * end, line={"color": ALARM, "dash": "dash", "width": 1})
    figure.update_layout(
        height=90 + 32 * max(len(rows), 1),
        margin={"l": 8, "r": 8, "t": 16, "b": 24},
        hovermode="closest",
        dragmode=False,
    )
    figure.update_xaxes(ticksuffix=" points", fixedrange=True, range=[-1.05 * reach, 1.05 * reach], automargin=True)
    figure.update_yaxes(fixedrange=True, automargin=True, categoryorder="array", categoryarray=labels[::-1])
    return figure


def colour_of(low: float, high: float, limit: float | None) -> str:
    """What the interval says against 0 and the limit."""
    certain = max(low, -high, 0.0)
    if limit is not None and certain > limit:
        return ALARM
    return WARN if certain > 0 else CALM
