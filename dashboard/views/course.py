"""A monitor's main metric over time, with what it is compared with and how far it is from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.rules import limits
from dashboard import charts, show, words
from dashboard.console import Console
from dashboard.views.overview import RANGES, choose_range
from store.queries import monitors as queries
from store.queries import overview
from store.queries.overview import Tile
from store.unit_of_work import Tx


def against(change: Mapping[str, Any], metric: str) -> str:
    """How far the number is from its reference: of the latest rows, or while it alarms of those since the change."""
    said = words.compared(change, metric)
    return f"Since the change {words.number(change['now']['value'], metric)}, {said}" if change["since_onset"] else said


def draw(console: Console, tile: Tile, look: Sequence[Any]) -> None:
    """The main metric over the chosen range with releases, alarms and what it is compared with."""
    assert tile.latest is not None
    metric, monitor = tile.latest["metric"], tile.monitor
    chosen = choose_range(console, "Over time")
    since = console.now - RANGES[chosen]

    def query(tx: Tx) -> tuple[list[Any], list[Any], list[Any]]:
        alerts, releases = overview.timeline(tx, since)
        mine = [row for row in alerts if row["monitor"] == monitor["name"] and row["fired_at"] >= since]
        return queries.series(tx, monitor["id"], metric, since=since), mine, releases

    rows, alarms, releases = console.load(f"series {monitor['name']} {chosen}", query)
    if not rows:
        st.text(f"No look in the last {chosen}. Choose a longer range.")
        return
    lines = [float(limit["limit"]) for limit in limits(monitor["rule"], monitor["metric"]) if limit["metric"] == metric]
    last = rows[-1]
    change = next(
        (row["details"].get("change") for row in look if row["metric"] == metric and not row["segment"]), None
    )
    now = f"{words.number(last['value'], metric)} ({words.interval(last, metric)})"
    told = f"; {against(change, metric)}" if change else ""
    show.chart(
        charts.series(
            rows,
            metric,
            limits=lines,
            releases=releases,
            alarms=alarms,
            reference=change["reference"]["value"] if change else None,
        ),
        f"{words.title(metric)} over the last {chosen}: {words.count(len(rows), 'look')}, the last {now}{told}.",
        "series",
    )
    reference = " The line named reference is what the running epoch compares with." if change else ""
    st.caption(f"The band is the interval of each look; dotted lines are releases and alarms.{reference}")
    show.download(
        rows, ["at", "metric", "status", "value", "low", "high", "n", "method"], name=monitor["name"], key="csv"
    )
