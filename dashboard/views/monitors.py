"""Monitors: what exactly moved, and where?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from core.roles import Action
from core.rules import limits
from core.thinning import Thinning
from dashboard import actions, marks, show, words
from dashboard.console import Console
from dashboard.verdict import running, status
from dashboard.views import asked, backtests, budget, course, limit, reference
from store.queries import monitors as queries
from store.queries import overview
from store.queries.overview import Tile
from store.unit_of_work import Tx

Panel = Callable[[Console, Mapping[str, Any], int], None]


def draw(console: Console) -> None:
    """The list, or with ?monitor=NAME one of them."""
    show.head("Monitors", "What exactly moved, and where?")
    name = st.query_params.get("monitor", "")
    if name:
        detail(console, name)
    else:
        everything(console)


def everything(console: Console) -> None:
    """Every monitor: state, value against its limits, count, recent values, next run."""
    tiles, due, thinned = console.load(
        "monitors", lambda tx: (overview.tiles(tx), queries.next_runs(tx), queries.thinned(tx))
    )
    if not tiles:
        show.empty(
            "No monitor is set up yet",
            (
                "The scheduler adds the standard monitors when it starts: run trimtab up.",
                "They watch what people ask, refusals, bad ratings, answer lengths, latency, errors, bias and attacks.",
            ),
        )
        return
    for tile in running(tiles):
        line(console, tile, due, thinned)
    if paused := [tile for tile in tiles if status(tile) == "paused"]:
        st.subheader(f"Paused ({len(paused)})", anchor=False)
        for tile in paused:
            line(console, tile, due, {})
    budget.draw(console)


def line(console: Console, tile: Tile, due: Mapping[int, Any], thinned: Mapping[int, int]) -> None:
    """One monitor in the list."""
    monitor, latest = tile.monitor, tile.latest
    name = monitor["name"]
    metric = latest["metric"] if latest is not None else monitor["metric"]
    with st.container(border=True, key=f"monitor-{name}"):
        what, value, recent, when = st.columns([3, 3, 3, 2], vertical_alignment="center")
        with what:
            show.mark(marks.MONITOR.get(status(tile)))
            show.say(words.title(name), "strong", name)
            show.say(f"Alerts when: {watches(monitor)}", "quiet", f"limit-{name}")
        with value:
            show.measured(latest, metric, f"value-{name}")
            if part := words.thinned(thinned.get(monitor["id"], 1)):
                show.say(part, "quiet", f"thinned-{name}")
        with recent:
            values = [row["value"] for row in tile.recent if row["value"] is not None]
            if len(values) > 1:
                show.spark(values, "Recent values")
        with when:
            next_at = due.get(monitor["id"])
            show.say(coming(next_at, console), "quiet", f"next-{name}")
            console.link("monitors", "Details", "arrow_forward", monitor=name)


def coming(at: datetime | None, console: Console) -> str:
    """When the next look is."""
    if at is None:
        return "No look yet"
    return "Due now" if at <= console.now else f"Next look {words.ago(at, console.now)}"


def watches(monitor: Any) -> str:
    """What the monitor alerts about, and by which rule."""
    rule = "; ".join(limit_words(monitor)) or "sequential test within the false-alarm budget"
    return f"{monitor['title']} ({rule})" if monitor["title"] else rule


def limit_words(monitor: Mapping[str, Any]) -> list[str]:
    """The monitor's plain limits in words, each saying that it carries no guarantee."""
    return [
        f"{words.title(limit['metric'])} should be {words.limit(limit, limit['metric'])}; a plain limit, no guarantee"
        for limit in limits(monitor["rule"], monitor["metric"])
    ]


def detail(console: Console, name: str) -> None:
    """One monitor: its series with interval and limits, where it moved, its looks and its epochs."""
    found = console.load(f"monitor {name}", lambda tx: read(tx, console, name))
    console.link("monitors", "All monitors", "arrow_back")
    if found is None:
        show.empty("There is no such monitor", ("It may have been renamed. Choose one from the list.",))
        return
    tile: Tile = found["tile"]
    look: list[Any] = found["look"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline"):
        show.mark(marks.MONITOR.get(status(tile)))
        st.text(words.title(name))
    show.say(f"Alerts when: {watches(tile.monitor)}", "quiet", "watches")
    buttons(console, tile)
    asked.draw(console, "run_monitor", {"monitor": name})
    panel(console, tile.monitor)
    for row in found["silences"]:
        show.say(f"Silenced by {row['actor']} until {words.clock_time(row['ends_at'])}: {row['reason']}")
    if tile.latest is None:
        show.empty("It has not looked yet", ("It looks as soon as its next run is due and there is traffic.",))
    else:
        values(console, tile, look)
        course.draw(console, tile, look)
        moved(look)
    looks(console, found)


def read(tx: Tx, console: Console, name: str) -> dict[str, Any] | None:
    """Everything about one monitor but its series, or None."""
    monitor = queries.one(tx, name)
    if monitor is None:
        return None
    return {
        "tile": overview.tile(tx, monitor),
        "look": queries.latest_look(tx, monitor["id"]),
        "last_good": queries.last_good(tx, monitor["id"]),
        "epochs": queries.epochs_of(tx, monitor["id"]),
        "ticks": queries.ticks_of(tx, monitor["id"]),
        "alerts": queries.alerts_of(tx, name),
        "silences": queries.silences_of(tx, name, console.now),
    }


def buttons(console: Console, tile: Tile) -> None:
    """Run now, pause or resume, and the ways to change what it alarms at."""
    name, enabled = tile.monitor["name"], tile.monitor["enabled"]
    with st.container(horizontal=True, gap="small"):
        allowed = console.may(Action.RUN_MONITOR) and enabled
        if st.button("Look now", icon=":material/play_arrow:", key="run-now", disabled=not allowed):
            actions.run_monitor(console, name)
            st.rerun()
        label, icon = ("Pause", ":material/pause:") if enabled else ("Resume", ":material/play_circle:")
        if st.button(label, icon=icon, key="pause", disabled=not console.may(Action.PAUSE_MONITOR)):
            actions.pause_monitor(console, name, enabled=not enabled)
            st.rerun()
        for change, (label, icon, action, _) in offered(tile.monitor).items():
            if st.button(f"{label} …", icon=icon, key=f"open-{change}", disabled=not console.may(action)):
                st.query_params["change"] = change
                st.rerun()


def offered(monitor: Any) -> dict[str, tuple[str, str, Action, Panel]]:
    """What can be changed of this monitor: a plain limit, or the share and the reference of a sequential test."""
    if limits(monitor["rule"], monitor["metric"]):
        return {"limit": ("Change the limit", ":material/tune:", Action.EDIT_LIMIT, limit.draw)}
    if monitor["weight"] > 0:
        return {
            "weight": ("Change the weight", ":material/balance:", Action.EDIT_LIMIT, budget.change),
            "reference": ("Take a reference", ":material/flag:", Action.TAKE_REFERENCE, reference.draw),
            "backtest": ("Try on past traffic", ":material/history:", Action.RUN_MONITOR, backtests.draw),
        }
    return {}


def panel(console: Console, monitor: Any) -> None:
    """The panel that ?change=NAME asks for. What it saves is bound to the revision that was shown when it opened."""
    change = st.query_params.get("change", "")
    chosen = offered(monitor).get(change)
    if chosen is None:
        st.session_state.pop("_pinned", None)
        return
    about = (monitor["name"], change)
    pinned = st.session_state.get("_pinned")
    if pinned is None or pinned["about"] != about:
        pinned = {"about": about, "revision": monitor["revision"]}
        st.session_state["_pinned"] = pinned
    with st.container(border=True, key="panel"):
        chosen[3](console, monitor, pinned["revision"])
        if st.button("Close", icon=":material/close:", key="panel-close", type="tertiary"):
            del st.query_params["change"]
            st.rerun()


def values(console: Console, tile: Tile, look: Sequence[Any]) -> None:
    """What the last look found, a tile a metric."""
    st.subheader("Last look", anchor=False)
    whole = [row for row in look if not row["segment"]] or ([tile.latest] if tile.latest else [])
    with st.grid(min_column_width=220, gap="small"):
        for row in whole:
            with st.container(border=True, key=f"metric-{row['metric']}"):
                show.mark(marks.MONITOR.get(row["status"]))
                show.say(words.title(row["metric"]), "strong", f"m-{row['metric']}")
                show.measured(row, row["metric"], f"metric-{row['metric']}")
                if change := row.get("details", {}).get("change"):
                    show.say(course.against(change, row["metric"]), "quiet", f"c-{row['metric']}")
                limit = words.limit(row.get("details", {}), row["metric"])
                show.say(f"Limit {limit}" if limit else "", "quiet", f"l-{row['metric']}")
                if part := words.thinned(row.get("details", {}).get("one_in", 1)):
                    show.say(part, "quiet", f"t-{row['metric']}")
                if hours := words.unfilled(row.get("details", {})):
                    show.say(hours, "quiet", f"u-{row['metric']}")
    for row in whole:
        if row["status"] in ("error", "nodata") and row["reason"]:
            st.text(row["reason"])


def moved(look: Sequence[Any]) -> None:
    """Segments that the last look measured apart, and what the method says of itself."""
    apart = [row for row in look if row["segment"]]
    if apart:
        st.subheader("By segment", anchor=False)
        rows = [
            {
                "segment": row["segment"],
                "metric": words.title(row["metric"]),
                "state": marks.MONITOR.get(row["status"], marks.UNKNOWN).word,
                "value": words.number(row["value"], row["metric"]),
                "interval": words.interval(row, row["metric"]),
            }
            for row in apart
        ]
        columns = {
            "segment": "Segment",
            "metric": "Metric",
            "state": "State",
            "value": "Value",
            "interval": "Interval and n",
        }
        show.table(rows, columns, alt="Measurements by segment", key="segments")
    if look:
        with st.expander("Details of the method"):
            for row in look[:20]:
                show.facts(
                    {"Metric": row["metric"], "Method": row["method"], "Rows": f"{row['first_id']} to {row['last_id']}"}
                )
                if row["details"]:
                    st.json(row["details"], expanded=False)


def looks(console: Console, found: Mapping[str, Any]) -> None:
    """Its alerts, its runs with their messages, and its epochs with their share of the budget."""
    if found["alerts"]:
        st.subheader("Alerts", anchor=False)
        for row in found["alerts"]:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                show.mark(marks.ALERT.get(row["state"]))
                st.text(f"{words.ago(row['fired_at'] or row['updated_at'], console.now)}: {row['summary']}")
                console.link("alerts", "Open", alert=row["uuid"])
    failed = [row for row in found["ticks"] if row["state"] == "failed"]
    if failed:
        st.subheader("Failed looks", anchor=False)
        for row in failed[:3]:
            st.text(f"{words.clock_time(row['scheduled_for'])}: {row['message']}")
        st.text(f"Last good look {words.ago(found['last_good'], console.now)}.")
    if found["epochs"]:
        with st.expander("Epochs and their share of the false-alarm budget"):
            columns = {
                "number": "Epoch",
                "started_at": "Began",
                "ended_at": "Ended",
                "alarmed_at": "Alarmed",
                "reference_rows": "Reference rows",
                "seen_rows": "Rows read",
                "thinned": "Of the traffic",
                "alpha": "Share of the budget",
                "reason": "Why it began",
            }
            rows = [
                {
                    **row,
                    "alpha": f"{row['alpha']:.4g}",
                    "thinned": words.thinned(Thinning.of(row["details"]).one_in) or "Reads every conversation",
                }
                for row in found["epochs"]
            ]
            show.table(rows, columns, alt="Epochs of this monitor", key="epochs")
