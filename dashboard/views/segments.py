"""Segments with a version of their own: who answers them, and the way back for each alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from core.segments import Segment, split
from dashboard import actions, show, words
from dashboard.console import Console
from store import deployments, segments
from store.unit_of_work import Tx

EVERYBODY = "Everybody"


def named(deployment: str) -> str:
    """Whom a deployment is for, in words."""
    segment = split(deployment)[1]
    return str(segment) if segment is not None else "everybody"


def query(tx: Tx, deployment: str) -> list[dict[str, Any]]:
    """The segments that have a route of their own, each with the versions that it can go back to (`earlier`)."""
    found = []
    for row in segments.own(tx, deployment):
        earlier = [one["version"] for one in deployments.earlier(tx, row["deployment"])]
        found.append({**row, "earlier": earlier})
    return found


def draw(console: Console, rows: Sequence[Mapping[str, Any]], everybody: str) -> None:
    """Each segment with what answers it. `everybody` is the version that answers all others."""
    if not rows:
        return
    st.subheader("Segments", anchor=False)
    st.caption("Requests with one of these labels get the segment's version; with several, that of the first listed.")
    for row in rows:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"segment-{row['uuid']}"):
            with st.container(gap=None, width="stretch"):
                show.say(f"{named(row['deployment'])}: {row['version']}", "strong", f"segment-{row['uuid']}")
                show.say(standing(row, everybody, console), "quiet", f"segment-{row['uuid']}-since")
                if row["message"]:
                    st.text(row["message"])
            allowed = console.may(Action.ROLL_BACK)
            label, icon = "Roll back …", ":material/undo:"
            if st.button(label, icon=icon, key=f"roll-back-{row['uuid']}", disabled=not (allowed and row["earlier"])):
                go_back(console, row, everybody)


def standing(row: Mapping[str, Any], everybody: str, console: Console) -> str:
    """Since when a segment has its version, whether that was proved, and how it stands to everybody's."""
    proved = "proved by fingerprint" if row["verified_at"] is not None else "proof pending"
    others = "as everybody" if row["version"] == everybody else f"everybody else: {everybody}"
    return f"since {words.ago(row['changed_at'], console.now)} · {proved} · {others}"


@st.dialog("Roll this segment back?", width="medium")
def go_back(console: Console, row: Mapping[str, Any], everybody: str) -> None:
    """One reason and one click, for this segment alone."""
    choices = list(row["earlier"])
    place = choices.index(row["previous"]) if row["previous"] in choices else 0
    to = st.selectbox("Serve again", choices, index=place, key="segment-back-to") if len(choices) > 1 else choices[0]
    who = named(row["deployment"])
    st.text(f"{to} answers {who} within a second; everybody else keeps what they have. {row['version']} is kept.")
    if to == everybody:
        st.text("That is what everybody gets: once it is proved, the segment follows everybody again.")
    if row["trial"]:
        st.text(f"The {row['trial']} of {row['candidate']} ends with it.")
    reason = st.text_input("What is wrong?", key="segment-back-why", max_chars=500)
    if st.button("Roll back", type="primary", icon=":material/undo:", key="segment-back-do"):
        show.close(actions.roll_back(console, reason, away_from=row["version"], to=to, deployment=row["deployment"]))


def choose(console: Console, key: str) -> tuple[Segment | None, int]:
    """For whom a promotion is: a segment, or None for everybody; and how many people the segment is."""
    found = console.load("segments seen", lambda tx: segments.seen(tx, console.deployment))
    if not found:
        return None, 0
    chosen: Segment | None = st.selectbox(
        "For whom?",
        [None, *found],
        key=f"whom-{key}",
        format_func=lambda one: EVERYBODY if one is None else f"Only for the segment {one} ({found[one]:,} people)",
    )
    if chosen is None:
        return None, 0
    many = "1 person" if found[chosen] == 1 else f"{found[chosen]:,} people"
    st.caption(
        f"{many} in the newest {segments.LOOKED_AT:,} answers. Everybody else keeps what they have, and the proposal "
        "for everybody goes on waiting."
    )
    return chosen, found[chosen]
