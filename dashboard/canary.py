"""A canary as one figure: for each measure the candidate's rate above the champion's, each a dot on its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard import words
from dashboard.charts import ALARM, CALM, QUIET, Row, plain

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def rates(measures: Sequence[Row], candidate: str, champion: str) -> Figure:
    """Two lines a measure, in per cent; a version with too few answers has an empty line that says so.

    A measure has `name`, `verdict`, and under `candidate` and `champion` an estimate. Red: the candidate is worse.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    labels = []
    for measure in measures:
        for version, name in (("candidate", candidate), ("champion", champion)):
            found = measure[version]
            label = f"{words.title(measure['name'])}, {plain(name)}"
            labels.append(label)
            if found["value"] is None:
                figure.add_scatter(
                    x=[0.0],
                    y=[label],
                    mode="text",
                    text=[words.missing(found)],
                    textposition="middle right",
                    hoverinfo="skip",
                    showlegend=False,
                )
                continue
            worse = version == "candidate" and measure["verdict"] == "fail"
            colour = ALARM if worse else CALM if version == "candidate" else QUIET
            figure.add_scatter(
                x=[100 * found["value"]],
                y=[label],
                error_x={
                    "array": [100 * (found["high"] - found["value"])],
                    "arrayminus": [100 * (found["value"] - found["low"])],
                    "color": colour,
                    "thickness": 4,
                    "width": 0,
                },
                mode="markers",
                marker={"color": colour, "size": 12},
                customdata=[words.interval(found, measure["name"])],
                hovertemplate="%{x:.1f} %<br>%{customdata}<extra></extra>",
                showlegend=False,
            )
    figure.update_layout(
        height=90 + 30 * max(len(labels), 1),
        margin={"l": 8, "r": 8, "t": 16, "b": 24},
        hovermode="closest",
        dragmode=False,
    )
    figure.update_xaxes(ticksuffix=" %", fixedrange=True, rangemode="tozero", automargin=True)
    figure.update_yaxes(
        type="category", fixedrange=True, automargin=True, categoryorder="array", categoryarray=labels[::-1]
    )
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
