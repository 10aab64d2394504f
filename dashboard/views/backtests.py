"""Trying a sequential monitor on past traffic: what it would have shown, look by look, as if live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, charts, show, words
from dashboard.console import Console
from dashboard.views import asked
from store.queries import commands as queries

KEPT = 5


def draw(console: Console, monitor: Mapping[str, Any], revision: int) -> None:
    """The form, those that are under way, and the newest result."""
    name = monitor["name"]
    st.subheader("Try it on past traffic", anchor=False)
    st.text(
        "The first rows are the reference, the rest is read as if it came now. Nothing is alerted, and nothing is "
        "taken out of the false-alarm budget."
    )
    asked_for = form(monitor)
    if st.button(
        "Run the backtest",
        type="primary",
        icon=":material/play_arrow:",
        key="backtest-do",
        disabled=not console.may(Action.RUN_MONITOR),
    ):
        args = {"monitor": name, **asked_for}
        actions.ask_monitors(console, "backtest", args, "Asked. The result shows below; you may leave this page.")
        st.rerun()
    asked.draw(console, "backtest", {"monitor": name})
    recent = console.load(f"backtests {name}", lambda tx: queries.recent(tx, "backtest", {"monitor": name}, limit=KEPT))
    done = [row for row in recent if row["state"] == "done"]
    if not done:
        st.caption("No result yet.")
        return
    newest = done[0]
    found = console.load(f"result {newest['uuid']}", lambda tx: queries.result(tx, newest["uuid"]))
    result(console, monitor["metric"], newest, found)


def form(monitor: Mapping[str, Any]) -> dict[str, Any]:
    """What to replay, as a command names it."""
    usual = int(monitor["params"].get("reference", 1000))
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        rows = st.number_input("Newest rows", 100, 20_000, max(2000, 3 * usual), 500, key="backtest-rows", width=160)
        reference = st.number_input("Of them reference", 1, 10_000, usual, 100, key="backtest-reference", width=180)
        every = st.number_input("Rows between looks", 1, 10_000, 100, 50, key="backtest-every", width=180)
        one_in = st.number_input("Read one conversation in", 1, 100_000, 1, 1, key="backtest-one-in", width=200)
        budget = st.number_input(
            "Chance of any false alarm", 0.001, 0.5, 0.1, 0.01, format="%.3f", key="backtest-budget", width=220
        )
    sizes = {"rows": int(rows), "reference": int(reference), "every": int(every), "one_in": int(one_in)}
    return {**sizes, "budget": float(budget)}


def result(console: Console, metric: str, row: Any, found: Mapping[str, Any]) -> None:
    """The looks as a picture and a table, with the sentence that sums them up."""
    looks: Sequence[Mapping[str, Any]] = found["looks"]
    summary: Mapping[str, Any] = found["summary"]
    show.say(told(summary), "strong", "backtest-told")
    show.say(
        f"{summary['from'][:16].replace('T', ' ')} to {summary['to'][:16].replace('T', ' ')} UTC, "
        f"asked by {row['actor']} {words.ago(row['asked_at'], console.now)}. "
        f"While nothing changes, the chance of any alarm in it is at most {summary['budget']:g}.",
        "quiet",
        "backtest-span",
    )
    if part := words.thinned(summary.get("one_in", 1)):
        show.say(part, "quiet", "backtest-thinned")
    show.chart(charts.replayed(looks, metric, int(summary["reference"])), told(summary), "backtest")
    lines = [
        {
            "look": look["look"],
            "seen": f"{look['seen']:,}",
            "value": words.number(look["value"], metric),
            "interval": words.interval(look, metric),
            "alarm": "alarm" if look["alarm"] else "",
        }
        for look in looks
    ]
    columns = {"look": "Look", "seen": "Rows read", "value": "Value", "interval": "Interval and n", "alarm": "Alarm"}
    show.table(lines, columns, alt="Looks of the backtest", key="backtest-looks")
    names = ["look", "seen", "value", "low", "high", "n", "alarm"]
    show.download(looks, names, name=f"backtest-{summary['monitor']}", key="backtest-csv")


def told(summary: Mapping[str, Any]) -> str:
    """Whether and when it would have alarmed."""
    read = f"{words.count(summary['looks'], 'look')} over {words.count(summary['rows'], 'row')}"
    if summary["first_alarm_seen"] is None:
        return f"No alarm in {read}."
    late = summary["first_alarm_seen"] - summary["reference"]
    return f"The first alarm of {summary['alarms']} came {words.count(late, 'row')} after the reference, in {read}."
