"""Gaps between groups as a figure: a dot on its interval for each, the worst on top, small groups hatched."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard import plots
from dashboard.charts import ALARM, CALM, QUIET, WARN, Row, plain
from dashboard.plots import Bar, Dot, Plot

POINTS = 100.0


def gaps(rows: Sequence[Row], *, limit: float | None) -> Plot:
    """A line a row: `name`, `value`, `low`, `high` and `told` (what hovering says). A row without a value is hatched.

    Red where the whole interval is past `limit`, orange where it only leaves out 0. In points of 100.
    """
    ends = [abs(row[end]) for row in rows if row["value"] is not None for end in ("low", "high")]
    reach = POINTS * max([*ends, 2 * (limit or 0.0), 0.1])
    labels = [f"{place}. {plain(row['name'])}" for place, row in enumerate(rows, start=1)]
    across = plots.spanned(-reach, reach, title="points", room=0.05 * reach)
    figure = Plot(across, plots.names(labels), 32 * max(len(rows), 1))
    figure.upright(0.0, QUIET)
    for end in (-limit, limit) if limit else ():
        figure.upright(POINTS * end, ALARM, dash="5 3")
    for place, row in enumerate(rows):
        y, told = place + 0.5, str(row["told"])
        if row["value"] is None:
            figure.marks.append(Bar(-reach, reach, y, QUIET, 24, told, hatched=True))
            continue
        colour = colour_of(row["low"], row["high"], limit)
        figure.marks.append(Bar(POINTS * row["low"], POINTS * row["high"], y, colour, 4, told))
        figure.marks.append(Dot(POINTS * row["value"], y, colour, 12, told))
    return figure


def colour_of(low: float, high: float, limit: float | None) -> str:
    """What the interval says against 0 and the limit."""
    certain = max(low, -high, 0.0)
    if limit is not None and certain > limit:
        return ALARM
    return WARN if certain > 0 else CALM
