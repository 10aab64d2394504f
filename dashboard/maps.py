"""The topic map as a figure: the reference in grey beneath what people ask now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.charts import CALM, QUIET, WARN

Figure = dict[str, Any]
SIDES = (("reference", QUIET, 0.45, "circle-open"), ("now", CALM, 0.8, "circle"))


def indexes(points: Mapping[str, Sequence[Any]]) -> list[list[int]]:
    """For each trace of the map the rows that it shows, in the order of its points: the reference, then now."""
    return [[index for index, now in enumerate(points["now"]) if now == side] for side in (0, 1)]


def topic_map(points: Mapping[str, Sequence[Any]], *, chosen: int | None = None) -> Figure:
    """A point an exchange: filled ones are of now, rings of the reference; `chosen` is the topic that stands out.

    A plain dictionary of two traces without hover texts: the browser is sent numbers only, and needs no WebGL.
    """
    traces = []
    for (name, colour, opacity, symbol), rows in zip(SIDES, indexes(points), strict=True):
        own = [chosen is not None and points["topic"][index] == chosen for index in rows]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [points["x"][index] for index in rows],
                "y": [points["y"][index] for index in rows],
                "hoverinfo": "skip",
                "marker": {
                    "color": [WARN if one else colour for one in own] if chosen is not None else colour,
                    "size": 7,
                    "opacity": opacity,
                    "symbol": symbol,
                },
            }
        )
    axis = {"visible": False, "fixedrange": True}
    layout = {
        "height": 420,
        "margin": {"l": 0, "r": 0, "t": 28, "b": 0},
        "dragmode": "lasso",
        "xaxis": axis,
        "yaxis": {**axis, "scaleanchor": "x"},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "showlegend": True,
    }
    return {"data": traces, "layout": layout}
