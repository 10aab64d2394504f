"""One preference pair in a drawer: what it says, where it comes from, why it is held, and a person's word on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, marks, show, words
from dashboard.console import Console
from store.queries import pairs as queries

MESSAGES = 50
RELEASED = (
    "Released, it may train: the next dataset may hold it, and checks leave it alone from now on. Datasets that are "
    "locked do not change. To undo it, reject it here."
)
REJECTED = (
    "Rejected, it never trains: no dataset that is locked from now on holds it. It is kept, with your reason. To undo "
    "it, release it here."
)


def close() -> None:
    """Take the pair out of the address."""
    st.query_params.pop("pair", None)


@st.dialog("Preference pair", position="right", width="medium", on_dismiss=close)
def drawer(console: Console, uuid: str) -> None:
    """Everything about the pair `uuid`. Its texts are hostile: shown as text."""
    row = console.load(f"pair {uuid}", lambda tx: queries.one(tx, uuid))
    if row is None:
        show.empty("There is no such pair", ("It belongs to another installation. Choose one from the list.",))
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show.mark(marks.PAIR.get(row["state"]))
        if row["decided_by"]:
            show.say(f"decided by {row['decided_by']}")
    why(row)
    texts(row)
    decide(console, row)
    facts(console, row)
    history(row["events"])


def why(row: Mapping[str, Any]) -> None:
    """The reasons why it is or was held."""
    if row["reasons"]:
        st.caption("Held because" if row["state"] == "quarantined" else "It was held because")
        for reason in row["reasons"]:
            st.text(f"• {reason}")


def texts(row: Mapping[str, Any]) -> None:
    """The prompt in order, then both answers."""
    st.subheader("What it says", anchor=False)
    messages = row["prompt"]
    if len(messages) > MESSAGES:
        st.text(f"The last {MESSAGES} of {len(messages)} messages.")
    for message in messages[-MESSAGES:]:
        with st.container(gap=None):
            show.say(str(message.get("role", "")), "quiet")
            st.text(str(message.get("content", "")))
    for name, field in (("Preferred answer", "chosen"), ("Other answer", "rejected")):
        with st.container(border=True, gap=None):
            st.caption(name)
            st.text(row[field] or "No answer.")


def facts(console: Console, row: Mapping[str, Any]) -> None:
    """Where it comes from, and which datasets hold it."""
    st.subheader("Where it comes from", anchor=False)
    show.facts(
        {
            "Source": row["source"] or "not said",
            "Licence": row["licence"] or "none",
            "Consent": row["consent"] or "not said",
            "Contributor": row["contributor"][:16] or "not named",
            "Conversation": row["session"] or "not known",
            "Answered by": row["version"] or "not known",
            "At": words.clock_time(row["at"]),
            "Id": row["uuid"],
        }
    )
    for held in row["datasets"]:
        side = "trains in" if held["split"] == "train" else "is held out in"
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text(f"It {side} dataset {held['digest'][:12]}.")
            console.link("pairs", "Its card", "description", dataset=held["uuid"])


def decide(console: Console, row: Mapping[str, Any]) -> None:
    """Release or reject it, with a reason; what that changes is said before."""
    may_release = row["state"] in ("quarantined", "rejected")
    may_reject = row["state"] in ("quarantined", "approved")
    if not may_release and not may_reject:
        st.text("It was not checked yet. Checks run every few seconds.")
        return
    allowed = console.may(Action.RELEASE_PAIR)
    with st.form(f"decide-{row['uuid']}"):
        if may_release:
            st.text(RELEASED)
        if may_reject:
            st.text(REJECTED)
        reason = st.text_input("Why?", max_chars=500, key="pair-why", disabled=not allowed)
        with st.container(horizontal=True, gap="small"):
            release = may_release and st.form_submit_button(
                "Release", type="primary", icon=":material/check:", key="pair-release", disabled=not allowed
            )
            reject = may_reject and st.form_submit_button(
                "Reject", icon=":material/block:", key="pair-reject", disabled=not allowed
            )
    if not allowed:
        st.caption("An approver can decide this.")
    if release:
        actions.release_pair(console, row["uuid"], reason)
        st.rerun()
    if reject:
        actions.reject_pair(console, row["uuid"], reason)
        st.rerun()


def history(events: Sequence[Mapping[str, Any]]) -> None:
    """What people decided, as the audit chain has it."""
    if not events:
        return
    st.subheader("What people decided", anchor=False)
    for event in events:
        verb = {"pair.released": "released it", "pair.rejected": "rejected it"}.get(event["kind"], event["kind"])
        st.text(f"{event['actor']} {verb}: {event['body'].get('reason', '')}")
