"""Overview: is the model healthy now, and does anything wait for me?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import streamlit as st

from core.roles import Action
from core.rules import limits
from dashboard import charts, deciding, marks, show, words
from dashboard.console import Console
from dashboard.deciding import is_own, may_answer
from dashboard.verdict import PARTS, SILENT_SECONDS, judge, newest, running, status, trouble
from store import monitors as monitor_rows
from store.queries import overview as queries
from store.queries.overview import Frame, Tile
from store.unit_of_work import Tx

RANGES = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1), "7 d": timedelta(days=7), "30 d": timedelta(days=30)}
USUAL = "24 h"
# Word for word the rule of the demonstration's customers, which a test holds it to.
DEMO_RULE = (
    "Simulated customers: after two answers in three they press a thumb. Up, if the answer uses at least one word of "
    "the shop's help page on their topic; down otherwise; one in twenty presses the wrong one. Half of those who press "
    "down also send the help page's answer as a correction."
)


def draw(console: Console) -> None:
    """The page."""
    show.head("Overview", "Is the model healthy now, and does anything wait for me?")
    found = console.load("overview", lambda tx: read(tx, console))
    frame: Frame = found["frame"]
    tiles: list[Tile] = found["tiles"]

    @st.fragment(run_every=console.looks_again(frame), key="now")
    def now() -> None:
        present = replace(console, now=console.installation.clock())
        headline(present, present.load("overview", lambda tx: read(tx, present)))

    now()
    if tiles:
        watched(console, tiles)
        over_time(console, [tile.monitor["name"] for tile in running(tiles)])
    left, right = st.columns(2, gap="large")
    with left:
        promise(console, found["budget"], found["allowed"], tiles)
    with right:
        processes(frame)
    if console.installation.settings.dashboard.demo:
        with st.expander("What is simulated here"):
            st.text(DEMO_RULE)


def headline(console: Console, found: Mapping[str, Any]) -> None:
    """The verdict and what waits: as fresh as the frame's line above, with which they must agree."""
    frame: Frame = found["frame"]
    tiles: list[Tile] = found["tiles"]
    verdict = judge(frame, tiles)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline", wrap=False):
        show.mark(marks.LEVEL[verdict.level])
        st.text(verdict.sentence, width="stretch")
    if not tiles and frame.last_sample_at is None:
        first_steps(console)
    waiting(console, frame, *found["waiting"])


def read(tx: Tx, console: Console) -> dict[str, Any]:
    """Everything but the timeline, whose range is chosen on the page."""
    settings = console.installation.settings.monitors
    return {
        "frame": queries.frame(tx, console.deployment, console.now),
        "tiles": queries.tiles(tx),
        "waiting": queries.waiting(tx, console.now),
        "budget": queries.budget(tx, console.now - timedelta(days=settings.period_days)),
        "allowed": monitor_rows.budget(tx, settings.budget),
    }


def first_steps(console: Console) -> None:
    """What to do with an installation that has seen nothing."""
    show.empty(
        "Nothing has been captured yet",
        (
            f"Send a request to {console.installation.settings.gateway_url}/v1/chat/completions, as to OpenAI.",
            "Or bring history along: trimtab import traffic FILE.",
            "Or watch the demonstration: trimtab demo.",
        ),
    )


def waiting(console: Console, frame: Frame, proposals: Sequence[Any], alerts: Sequence[Any]) -> None:
    """What this account must answer, first; then what only others may."""
    mine = [row for row in proposals if may_answer(row, console)]
    others = [row for row in proposals if not may_answer(row, console)]
    takes = console.may(Action.ACKNOWLEDGE)
    if number := deciding.waiting(frame, console):
        st.subheader(f"Waiting for you ({number})", anchor=False)
        for row in mine:
            proposed(console, row)
        if takes:
            untaken(console, frame, alerts)
    if number := len(others) + (0 if takes else frame.untaken):
        st.subheader(f"Waiting for others ({number})", anchor=False)
        for row in others:
            proposed(console, row, "another approver answers it" if is_own(row, console) else "an approver answers it")
        if not takes:
            untaken(console, frame, alerts, "an operator takes it")


def proposed(console: Console, row: Any, whose: str = "") -> None:
    """A proposal that waits, and for whom where that is somebody else."""
    uuid = row["uuid"]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"waits-{uuid}"):
        show.mark(marks.DECISION_KIND.get("override" if "override" in row["body"] else row["kind"]))
        with st.container(gap=None, width="stretch"):
            show.say(row["reason"], "strong", uuid)
            since = (
                f"proposed {words.ago(row['created_at'], console.now)}",
                f"expires {words.ago(row['expires_at'], console.now)}",
            )
            show.say(" · ".join([row["subject"], ", ".join(since), *([whose] if whose else [])]), "quiet", uuid)
        page = "models" if row["kind"] == "promote" else "runs"
        console.link(page, "Review" if not whose else "Open", "arrow_forward", decision=uuid)


def untaken(console: Console, frame: Frame, rows: Sequence[Any], whose: str = "") -> None:
    """The firing alerts that nobody has taken, the newest in full."""
    for row in rows:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"waits-{row['uuid']}"):
            show.mark(marks.ALERT["firing"])
            with st.container(gap=None, width="stretch"):
                show.say(row["summary"] or row["monitor"], "strong", row["uuid"])
                fired = f"fired {words.ago(row['fired_at'], console.now)}"
                show.say(" · ".join([row["monitor"], fired, *([whose] if whose else [])]), "quiet", row["uuid"])
            console.link("alerts", "Open", "arrow_forward", alert=row["uuid"])
    if more := frame.untaken - len(rows):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text(f"And {words.count(more, 'earlier alert')} that nobody has taken.")
            console.link("alerts", "All alerts", "arrow_forward")


def watched(console: Console, tiles: Sequence[Tile]) -> None:
    """A tile for each monitor that runs: its state, its value with interval and count, and where it came from."""
    st.subheader("What is watched", anchor=False)
    shown = running(tiles)
    with st.grid(min_column_width=260, gap="small"):
        for tile in shown:
            card(console, tile)
    if paused := len(tiles) - len(shown):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="paused"):
            show.say(f"Paused: {words.count(paused, 'monitor')}.", "quiet", "paused")
            console.link("monitors", "See them", "arrow_forward")


def card(console: Console, tile: Tile) -> None:
    """One monitor."""
    name, latest = tile.monitor["name"], tile.latest
    metric = latest["metric"] if latest is not None else tile.monitor["metric"]
    with st.container(border=True, key=f"tile-{name}", gap="small", height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
            show.say(words.title(name), "strong", f"tile-{name}")
            show.mark(marks.MONITOR.get(status(tile)))
        show.say(f"Alerts when: {tile.monitor['title'] or words.title(name)}", "quiet", f"title-{name}")
        show.measured(latest, metric, f"tile-{name}")
        values = [row["value"] for row in tile.recent if row["value"] is not None]
        if len(values) > 1:
            show.spark(values, "Recent values")
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
            show.say(words.ago(latest["at"], console.now) if latest is not None else "", "quiet", f"age-{name}")
            console.link("monitors", "Details", monitor=name)


def first_range(console: Console) -> str:
    """USUAL, or the shorter range that holds every look so far: a young installation is not drawn as a dot."""
    first = console.load("first look", queries.first_event_at)
    age = console.now - first if first is not None else RANGES[USUAL]
    return next(name for name, length in RANGES.items() if name == USUAL or age <= length)


def choose_range(console: Console, title: str) -> str:
    """A heading with the ranges beside it; returns the one that is chosen, which the address keeps."""
    usual = first_range(console)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(title, anchor=False)
        chosen = st.segmented_control(
            "Range",
            list(RANGES),
            default=usual,
            required=True,
            key="range",
            bind="query-params",
            label_visibility="collapsed",
        )
    return chosen or usual


def over_time(console: Console, names: Sequence[str]) -> None:
    """Monitors by time with the marks of releases."""
    chosen = choose_range(console, "State over time")
    since = console.now - RANGES[chosen]
    alerts, releases = console.load(f"timeline {chosen}", lambda tx: queries.timeline(tx, since))
    figure = charts.state_line(names, alerts, releases, since, console.now)
    told = f"{words.count(len(alerts), 'alert')} and {words.count(len(releases), 'release')} in the last {chosen}"
    show.chart(figure, f"Monitors by time: {told}.", "state-line")
    st.caption("Red: an alert was firing. Orange: no data, or the monitor failed. Dotted lines: a version went live.")


def promise(console: Console, spent: tuple[float, int, int], allowed: float, tiles: Sequence[Tile]) -> None:
    """The false-alarm budget of the period and what was given out of it."""
    st.subheader("False-alarm budget", anchor=False)
    given, epochs, alarms = spent
    days = console.installation.settings.monitors.period_days
    if not epochs:
        promised = f"False alarms to expect in {days} days: at most {allowed:g}."
        st.text(f"{promised} No statistical monitor has begun to spend them.")
        return
    st.progress(min(given / allowed, 1.0) if allowed else 1.0)
    st.text(
        f"{given:.3g} of {allowed:g} expected false alarms in {days} days given out, "
        f"to {words.count(epochs, 'epoch')}; {words.count(alarms, 'alarm')} raised."
    )
    plain = [tile for tile in tiles if limits(tile.monitor["rule"], tile.monitor["metric"])]
    if plain:
        st.caption("Plain limits on latency, errors and the like stand outside it: they carry no guarantee.")


def processes(frame: Frame) -> None:
    """Which parts of Trimtab are alive."""
    st.subheader("Trimtab itself", anchor=False)
    last_of = newest(frame)
    told = trouble(frame)
    for role in [*PARTS, *sorted(set(last_of) - set(PARTS))]:
        age: float | None = last_of[role]["age"] if role in last_of else None
        state = "silent" if age is None or age > SILENT_SECONDS else "trouble" if role in told else "alive"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.PULSE[state])
            last = f"last pulse {words.span(age)} ago" if age is not None else "no pulse yet"
            st.text(". ".join([f"{PARTS.get(role, role)}: {last}", *([told[role]] if role in told else [])]))
