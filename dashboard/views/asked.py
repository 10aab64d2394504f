"""Work that the page asked another process for: waiting, under way, or how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import streamlit as st

from dashboard import marks, show, words
from dashboard.console import Console
from store.queries import commands as queries

LIVE = ("asked", "claimed")
REFRESH_SECONDS = 2
SHOWN_FOR = timedelta(hours=1)
OWNERS = {"monitors": "the monitor scheduler", "retrain": "the retraining worker"}
Told = Callable[[Mapping[str, Any]], None]


def draw(console: Console, kind: str, about: Mapping[str, Any], done: Told | None = None) -> None:
    """The commands of `kind` about one thing from the last hour. `done` draws what one that ended well led to.

    While one is under way they look again by themselves; when it ends the whole page does, before anything of the end
    is drawn: a click on what the next run throws away would be lost. They take one place of the page, also while there
    are none, because a fragment is named after its place and a click after its fragment.
    """
    rows = recent(console, kind, about)
    live = any(state(row, console) in LIVE for row in rows)

    @st.fragment(run_every=REFRESH_SECONDS if live else None, key=f"asked-{kind}")
    def lines() -> None:
        found = recent(console, kind, about)
        if live and not any(state(row, console) in LIVE for row in found):
            st.rerun()
        for row in found:
            line(console, row, done)

    with st.container():
        if rows:
            lines()


def recent(console: Console, kind: str, about: Mapping[str, Any]) -> list[Any]:
    """The commands to show."""
    name = f"asked {kind} {sorted(about.items())}"
    rows = console.load(name, lambda tx: queries.recent(tx, kind, about))
    since = console.installation.clock() - SHOWN_FOR
    return [row for row in rows if (row["finished_at"] or row["asked_at"]) >= since or state(row, console) in LIVE]


def state(row: Any, console: Console) -> str:
    """The command's state; one that nobody took in time has expired, also while no process is there to say so."""
    late = row["state"] == "asked" and row["expires_at"] <= console.installation.clock()
    return "expired" if late else str(row["state"])


def line(console: Console, row: Any, done: Told | None) -> None:
    """One command."""
    now, found = console.installation.clock(), state(row, console)
    with st.container(border=True, key=f"command-{row['uuid']}", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.COMMAND.get(found))
            owner = OWNERS.get(row["owner"], row["owner"])
            told = {
                "asked": f"Waiting for {owner}.",
                "claimed": f"{owner[:1].upper()}{owner[1:]} is at it.",
                "expired": f"Nobody took it: {owner} does not run, or is busy.",
                "failed": row["message"],
                "done": "",
            }[found]
            show.say(f"Asked by {row['actor']} {words.ago(row['asked_at'], now)}. {told}".strip())
        if row["args"].get("reason"):
            show.say(row["args"]["reason"], "quiet", f"asked-{row['uuid']}")
        if found == "claimed":
            st.progress(min(max(float(row["progress"]), 0.0), 1.0))
        if found == "done" and done is not None:
            done(row)
