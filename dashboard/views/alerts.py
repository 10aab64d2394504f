"""Alerts: what needs a human, and why was it raised?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, marks, show, words
from dashboard.console import Console
from dashboard.views import incident, mending, proposals, propose, reasons
from store.queries import alerts as queries
from store.queries import monitors as monitor_queries
from store.queries import runs as run_queries
from store.unit_of_work import Tx

HOURS = {"1 hour": 1.0, "4 hours": 4.0, "24 hours": 24.0, "7 days": 168.0}
PAGE = 30
# What acknowledging leads to where a monitor learns its reference, before and after it was done.
NEW_NORMAL = (
    "Acknowledge a change that you take as it is: as soon as the traffic since then is enough, it becomes the "
    "reference, and the alert ends.",
    "As soon as the traffic since the change is enough, it becomes the reference, and the alert ends.",
)


def draw(console: Console) -> None:
    """The lists, or with ?alert=UUID one of them."""
    show.head("Alerts", "What needs a human, and why was it raised?")
    uuid = st.query_params.get("alert", "")
    if uuid:
        detail(console, uuid)
    else:
        lists(console)


def lists(console: Console) -> None:
    """Open alerts first, then silences in force, then those that are over."""

    def query(tx: Tx) -> dict[str, Any]:
        return {
            "open": queries.listed(tx, firing=True),
            "over": queries.listed(tx, firing=False, limit=PAGE),
            "silences": queries.silences_in_force(tx, console.now),
            "loud": queries.last_loud_at(tx),
            "looked": queries.last_evaluation_at(tx),
            "channels": queries.channel_names(tx),
        }

    found = console.load("alerts", query)
    if not found["open"]:
        quiet(console, found)
    for row in found["open"]:
        line(console, row)
    if found["silences"]:
        st.subheader("Silences", anchor=False)
        for row in found["silences"]:
            silence_line(console, row)
    if found["over"]:
        st.subheader("Over", anchor=False)
        for row in found["over"]:
            line(console, row)
    notices(console, found["channels"])


def quiet(console: Console, found: Mapping[str, Any]) -> None:
    """Nothing is open: for how long, and whether anything looked."""
    looked = found["looked"]
    if looked is None:
        show.empty(
            "Nothing was evaluated yet",
            ("Start the scheduler: trimtab up.", "Then send traffic; monitors look by themselves."),
        )
        return
    since = (
        f"Quiet for {words.span((console.now - found['loud']).total_seconds())}" if found["loud"] else "Quiet so far"
    )
    show.empty(since, ())
    st.text(f"Last evaluation {words.ago(looked, console.now)}.")


def line(console: Console, row: Mapping[str, Any]) -> None:
    """One alert in a list."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"alert-{row['uuid']}"):
        show.mark(marks.ALERT.get(row["state"]))
        if row["state"] == "firing":
            show.mark(marks.SEVERITY.get(row["severity"]))
        if row["kind"] != "rule":
            show.mark(marks.ALERT_KIND.get(row["kind"]))
        with st.container(gap=None, width="stretch"):
            show.say(row["summary"] or row["monitor"], "strong", row["uuid"])
            show.say(f"{row['monitor']} · {when(row, console)}{taken(row)}", "quiet", row["uuid"])
        console.link("alerts", "Open", "arrow_forward", alert=row["uuid"])


def when(row: Mapping[str, Any], console: Console) -> str:
    """Since when, or from when to when."""
    if row["resolved_at"] is not None and row["fired_at"] is not None:
        lasted = words.span((row["resolved_at"] - row["fired_at"]).total_seconds())
        return f"resolved {words.ago(row['resolved_at'], console.now)} after {lasted}"
    if row["fired_at"] is not None:
        return f"fired {words.ago(row['fired_at'], console.now)}"
    return f"pending since {words.ago(row['pending_since'], console.now)}"


def taken(row: Mapping[str, Any]) -> str:
    """Who has it."""
    return f" · acknowledged by {row['acknowledged_by']}" if row["acknowledged_at"] is not None else ""


def silence_line(console: Console, row: Mapping[str, Any]) -> None:
    """One silence with the way to end it."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"silence-{row['id']}"):
        st.badge("Silenced", icon=":material/notifications_off:", color="gray")
        with st.container(gap=None, width="stretch"):
            show.say(f"{row['monitor'] or 'All monitors'}: {row['reason']}", "strong", f"silence-{row['id']}")
            show.say(
                f"by {row['actor']}, ends {words.ago(row['ends_at'], console.now)}", "quiet", f"silence-{row['id']}"
            )
        if st.button("End it", key=f"unsilence-{row['id']}", disabled=not console.may(Action.SILENCE)):
            actions.unsilence(console, row["id"])
            st.rerun()


def notices(console: Console, channels: Sequence[str]) -> None:
    """A test through each channel."""
    with st.expander("Test a notice"):
        if not channels:
            st.text("No channel is set up. Add one with: trimtab channel add.")
        for place, name in enumerate(channels):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.text(name)
                if st.button("Send a test", key=f"test-{place}", disabled=not console.may(Action.TEST_NOTICE)):
                    actions.test_notice(console, name)
                    st.rerun()


def detail(console: Console, uuid: str) -> None:
    """One alert: why, what to do, its timeline, and what people said."""
    console.link("alerts", "All alerts", "arrow_back")
    found = console.load(f"alert {uuid}", lambda tx: read(tx, console, uuid))
    if found is None:
        show.empty("There is no such alert", ("It belongs to another installation. Choose one from the list.",))
        return
    row = found["alert"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show.mark(marks.ALERT.get(row["state"]))
        show.mark(marks.SEVERITY.get(row["severity"]))
        if row["kind"] != "rule":
            show.mark(marks.ALERT_KIND.get(row["kind"]))
    with st.container(key="headline"):
        st.text(row["summary"] or row["monitor"])
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.text(f"{row['monitor']} · {when(row, console)}{taken(row)}")
        console.link("monitors", "Its monitor", "monitoring", monitor=row["monitor"])
    buttons(console, row)
    if row["state"] == "firing" and found["statistical"]:
        st.caption(NEW_NORMAL[row["acknowledged_at"] is not None])
    propose.progress(console, alert=row["uuid"])
    for silenced in found["silences"]:
        silence_line(console, silenced)
    for proposal in found["proposals"]:
        proposals.draw(console, proposal)
    if row["state"] == "firing" and not found["proposals"]:
        elsewhere(console, found["waiting"])
    reasons.draw(console, row, found["rows"], found["releases"])
    incident.draw(console, row, found["metric"], found["probes"])
    mending.draw(console, row, found["to_label"], found["held"])
    timeline(console, found)
    talk(console, row, found["comments"])


def read(tx: Tx, console: Console, uuid: str) -> dict[str, Any] | None:
    """Everything about one alert, or None."""
    row = queries.one(tx, uuid)
    if row is None:
        return None
    wanted = [str(item.get("uuid", "")) for item in row["why"].get("rows", []) if isinstance(item, Mapping)]
    to_label, held = mending.named(row)
    monitor = monitor_queries.one(tx, row["monitor"])
    probes = [uuid for _, uuid in incident.named(row)][: incident.SHOWN]
    began = row["fired_at"] or row["pending_since"] or row["updated_at"]
    return {
        "alert": row,
        "metric": monitor["metric"] if monitor is not None else "",
        "statistical": row["kind"] == "rule" and monitor is not None and monitor["weight"] > 0,
        "transitions": queries.transitions(tx, row["id"]),
        "comments": queries.comments(tx, row["id"]),
        "proposals": queries.proposals(tx, row["id"]),
        "waiting": [
            one for one in run_queries.proposals(tx, kinds=("retrain", "rollback")) if proposals.waits(one, console)
        ],
        "notices": queries.notices(tx, row["id"]),
        "silences": monitor_queries.silences_of(tx, row["monitor"], console.now),
        "rows": monitor_queries.exchanges(tx, uuids=[name for name in wanted if name]),
        "probes": {one["uuid"]: one for one in monitor_queries.exchanges(tx, uuids=probes)},
        "to_label": monitor_queries.exchanges(tx, uuids=to_label, limit=len(to_label)),
        "held": queries.pairs_named(tx, held),
        "releases": queries.releases_near(tx, began, timedelta(days=1)),
    }


def elsewhere(console: Console, waiting: Sequence[Mapping[str, Any]]) -> None:
    """The ways to proposals that other alerts, or people, led to: one of a kind waits at a time."""
    for row in waiting:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.DECISION_KIND.get(row["kind"]))
            st.text(f"Waits already: {row['reason']}")
            console.link("runs", "Review", "arrow_forward", decision=row["uuid"])


def buttons(console: Console, row: Mapping[str, Any]) -> None:
    """Acknowledge, silence, and propose what should be done."""
    with st.container(horizontal=True, gap="small"):
        if row["state"] == "firing" and row["acknowledged_at"] is None:
            allowed = console.may(Action.ACKNOWLEDGE)
            if st.button(
                "Acknowledge", icon=":material/front_hand:", type="primary", key="acknowledge", disabled=not allowed
            ):
                actions.acknowledge(console, row["uuid"])
                st.rerun()
        if st.button(
            "Silence …", icon=":material/notifications_off:", key="silence", disabled=not console.may(Action.SILENCE)
        ):
            hush(console, row["monitor"])
        if row["state"] == "firing":
            propose.button(console, ("retrain", "rollback"), alert=row["uuid"])


@st.dialog("Silence this monitor's notices?")
def hush(console: Console, monitor: str) -> None:
    """How long and why; the alert itself stays visible."""
    st.text(f"Monitor: {monitor}")
    st.caption("Nobody is told while it lasts. Alerts go on being raised and stay visible here.")
    hours = st.selectbox("For", list(HOURS), key="silence-for")
    reason = st.text_input("Why?", key="silence-why", max_chars=300)
    if st.button("Silence", type="primary", key="silence-do"):
        show.close(actions.silence(console, monitor, reason, HOURS[hours]))


def timeline(console: Console, found: Mapping[str, Any]) -> None:
    """Every transition with the value that caused it, and the notices that went out."""
    st.subheader("Timeline", anchor=False)
    for row in reversed(found["transitions"]):
        measured = row["measurement"]
        value = ""
        if measured.get("metric") and measured.get("value") is not None:
            metric = str(measured["metric"])
            exact = f"{words.number(measured['value'], metric)} ({words.interval(measured, metric)})"
            value = f" at {words.incident(measured) or exact}"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.ALERT.get(row["new"]))
            st.text(f"{words.clock_time(row['at'])}{value}")
    for row in found["notices"]:
        state = {"sent": "sent", "pending": "not sent yet", "dropped": "given up"}.get(row["state"], row["state"])
        held = f"; held back: {row['held_because']}" if row["held_because"] else ""
        fault = f"; {row['last_error']}" if row["last_error"] else ""
        st.text(f"Notice through {row['name']} ({row['kind']}): {state}{held}{fault}")


def talk(console: Console, row: Mapping[str, Any], comments: Sequence[Mapping[str, Any]]) -> None:
    """What people wrote, and a field to write."""
    st.subheader("Comments", anchor=False)
    for said in comments:
        with st.container(border=True, key=f"comment-{said['id']}", gap=None):
            show.say(f"{said['actor']}, {words.ago(said['at'], console.now)}", "quiet", f"comment-{said['id']}")
            st.text(said["body"])
    if console.may(Action.ACKNOWLEDGE):
        # A field of its own for each comment: what could not be kept stays in it.
        place = st.session_state.setdefault("_commented", 0)
        with st.form("comment", border=False):
            body = st.text_area("Add a comment", max_chars=4000, height=80, key=f"comment-body-{place}")
            if st.form_submit_button("Comment", key="comment-do") and body.strip():
                st.session_state["_commented"] += actions.comment(console, row["uuid"], body)
                st.rerun()
