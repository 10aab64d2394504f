"""Pairs that wait for a person, with reasons that a person can read; by reason, and by what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import marks, show, words
from dashboard.console import Console
from dashboard.views.traffic import short
from store.queries import pairs as queries

STATES = ("quarantined", "rejected", "approved", "collected")
COLUMNS = {
    "found": "Found",
    "why": "Why",
    "at": "At",
    "source": "Source",
    "who": "Contributor",
    "decided_by": "Decided by",
}


def draw(console: Console, states: Mapping[str, int], held: Mapping[str, int]) -> None:
    """The list; state and reason are in the address."""
    st.subheader("Quarantine", anchor=False)
    state, flag = choose(states, by_flag(held))
    before = st.query_params.get("before", "")
    start = int(before) if before.isdigit() and len(before) < 18 else queries.END
    rows = console.load(
        f"queue {state} {flag} {start}", lambda tx: queries.queue(tx, state=state, flag=flag, before=start)
    )
    if not rows:
        st.text("Nothing is held for this reason." if flag else nothing(state))
        return
    listed(rows, state)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        # A table is drawn on a canvas; this is the way for those who use a keyboard.
        console.link("pairs", "Open the newest", "open_in_new", **kept(state, flag), pair=str(rows[0]["uuid"]))
        if len(rows) == queries.PAGE:
            console.link("pairs", "Older", "arrow_forward", **kept(state, flag), before=str(rows[-1]["id"]))
        if start != queries.END:
            console.link("pairs", "Newest first", "close", **kept(state, flag))


def choose(states: Mapping[str, int], flags: Mapping[str, int]) -> tuple[str, str]:
    """Which state and which reason to list: what the address says, which choosing changes."""
    params = st.query_params
    state = params.get("state", "") if params.get("state") in STATES else STATES[0]
    flag = params.get("flag", "") if params.get("flag") in flags and state == STATES[0] else ""
    st.session_state["pairs-state"], st.session_state["pairs-flag"] = state, flag

    def tell() -> None:
        chosen = st.session_state["pairs-state"]
        params.from_dict(kept(chosen, st.session_state["pairs-flag"] if chosen == STATES[0] else ""))

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Show",
            STATES,
            format_func=lambda name: f"{marks.PAIR[name].word} ({states.get(name, 0):,})",
            key="pairs-state",
            on_change=tell,
            width=240,
        )
        st.selectbox(
            "Reason",
            ["", *flags],
            format_func=lambda name: f"{words.title(name)} ({flags[name]:,})" if name else "Any",
            key="pairs-flag",
            on_change=tell,
            disabled=state != STATES[0],
            width=260,
        )
    return state, flag


def listed(rows: Sequence[Any], state: str) -> None:
    """The pairs as a table of which one can be opened. Their texts are in the drawer only."""
    shown = [
        {
            **row,
            "found": ", ".join(words.title(flag) for flag in row["flags"].split()),
            "why": short(" ".join(row["reasons"])),
            "source": short(row["source"]),
            "who": row["contributor"][:8],
        }
        for row in rows
    ]
    uuids = [str(row["uuid"]) for row in rows]

    def tell(place: int | None) -> None:
        if place is not None:
            st.query_params["pair"] = uuids[place]

    st.caption("Choose a row to open the pair.")
    show.choose(shown, COLUMNS, alt=f"Pairs: {marks.PAIR[state].word}", key=f"pairs-{state}-{uuids[0]}", chosen=tell)


def by_flag(held: Mapping[str, int]) -> dict[str, int]:
    """How many pairs carry each flag, the most frequent first."""
    found: Counter[str] = Counter()
    for flags, count in held.items():
        found.update(dict.fromkeys(flags.split(), count))
    return dict(found.most_common())


def nothing(state: str) -> str:
    """What an empty list says."""
    return {
        "quarantined": "Nothing is in quarantine.",
        "rejected": "Nobody has rejected a pair.",
        "approved": "No pair is approved yet.",
        "collected": "Every pair was checked.",
    }[state]


def kept(state: str, flag: str) -> dict[str, str]:
    """The address of a list."""
    return {**({"state": state} if state != STATES[0] else {}), **({"flag": flag} if flag else {})}
