"""The pages in their groups, and the frame that is around each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from core.errors import TrimtabError, Unavailable
from dashboard import deciding, marks, show, words
from dashboard.console import REFRESH_SECONDS, Console, SignedOut, enter
from dashboard.installation import current
from dashboard.verdict import silent
from dashboard.views import alerts, audit, fairness, models, monitors, overview, preference, probes, runs, traffic
from store.queries import overview as queries

GROUPS = {
    "Watch": {
        "overview": ("Overview", overview.draw),
        "monitors": ("Monitors", monitors.draw),
        "alerts": ("Alerts", alerts.draw),
        "traffic": ("Traffic", traffic.draw),
    },
    "Safety": {"probes": ("Probes", probes.draw), "fairness": ("Fairness", fairness.draw)},
    "Improve": {
        "pairs": ("Preference data", preference.draw),
        "runs": ("Runs", runs.draw),
        "models": ("Models", models.draw),
    },
    "Admin": {"audit": ("Audit", audit.draw)},
}


def draw() -> None:
    """Draw the console once."""
    st.set_page_config(page_title="Trimtab", page_icon="🧭", layout="wide")
    show.style()
    visit: list[Console] = []
    pages: dict[str, Any] = {}
    listed: dict[str, list[Any]] = {}
    for group, members in GROUPS.items():
        for path, (title, view) in members.items():
            page = st.Page(partial(present, visit, path, view), title=title, url_path=path, default=path == "overview")
            pages[path] = page
            listed.setdefault(group, []).append(page)
    try:
        visit.append(enter(pages))
    except SignedOut:
        return sign_in_again(pages)
    except Unavailable as error:
        st.navigation([*pages.values()], position="hidden")
        show.show_away(error, None, current().clock())
        return look_again(pages)
    chosen = st.navigation(listed, expanded=True)
    who(visit[0])
    chosen.run()


def present(visit: list[Console], path: str, view: Callable[[Console], None]) -> None:
    """The frame, then the page; what a page cannot do is said in a sentence."""
    console = visit[0]
    keep_address(path)
    try:
        header(console)
        with (
            st.container()
        ):  # Always there: what follows keeps its place, and its fragments their names, with or without.
            show.show_told()
        with st.container(key="stale" if console.away else "fresh"):
            view(console)
    except TrimtabError as error:
        show.show_error(error)


def keep_address(path: str) -> None:
    """Tell the browser what a link within the page asked for: the script is told by itself, but the next click would
    send the old address again. The browser does nothing where both agree.
    """
    now = (path, st.query_params.to_dict())
    before = st.session_state.get("_address", now)
    if before[0] == path and before != now:
        st.query_params.update({})
    st.session_state["_address"] = now


def header(console: Console) -> None:
    """What every page says first: what serves, how fresh it is, and what waits."""
    if console.installation.settings.dashboard.demo:
        st.info(
            "This is a demonstration: the shop, its customers and their feedback are simulated.",
            icon=":material/science:",
        )
    found = console.load("frame", lambda tx: queries.frame(tx, console.deployment, console.now))
    away = bool(console.away)

    @st.fragment(run_every=console.looks_again(found), key="bar")
    def line() -> None:
        before = len(console.away)
        bar(console)
        if away and before and len(console.away) == before:
            st.rerun()  # The store is back: the whole page is read anew.

    line()


def look_again(pages: Mapping[str, Any]) -> None:
    """Where nobody can be told who looks: try until that can be done, then draw the page."""

    @st.fragment(run_every=REFRESH_SECONDS, key="look-again")
    def line() -> None:
        try:
            enter(pages)
        except Unavailable:
            return
        except SignedOut:
            pass
        st.rerun()

    line()


def bar(console: Console) -> None:
    """The frame's line; it looks again by itself while something is going on."""
    now = console.installation.clock()
    present = replace(console, now=now)  # What it says of the age of data is as of now, not of when the page was drawn.
    found = present.load("frame", lambda tx: queries.frame(tx, console.deployment, now))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="frame"):
        if found.firing:
            show.mark(marks.ALERT["firing"])
        elif silent(found) or found.route is None:
            show.mark(marks.LEVEL["unknown"])
        elif found.pending:
            show.mark(marks.ALERT["pending"])
        else:
            st.badge("Nothing firing", icon=":material/check_circle:", color="green")
        if found.route is not None:
            st.text(f"{console.deployment} serves {found.route['version']}")
            if not found.verified:
                st.badge("Not proved yet", icon=":material/fingerprint:", color="gray")
        if found.last_sample_at is not None:
            st.text(f"Last sample {words.ago(found.last_sample_at, now)}")
        if number := deciding.waiting(found, console):
            console.link("overview", f"Waiting for you ({number})", "pending_actions")


def who(console: Console) -> None:
    """Who is signed in, and the way out."""
    with st.sidebar, st.container(key="quiet-who"):
        st.text(f"{console.name} · {console.account['role']}")
        if st.button("Sign out", icon=":material/logout:", key="sign-out", type="tertiary"):
            st.logout()


def sign_in_again(pages: dict[str, Any]) -> None:
    """What is shown when the session has ended."""
    st.navigation([*pages.values()], position="hidden")
    st.header("You are signed out", anchor=False)
    st.caption("The session ended, here or elsewhere. Nothing was lost.")
    if st.button("Sign in", type="primary", key="sign-in"):
        st.logout()
