"""How a version is told by its answers: its fingerprints, one a place, and the way to have them taken anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console

_DIGITS = 16
UNTOLD = "its server does not tell where"


def draw(console: Console, name: str, first: str, kept: Sequence[Mapping[str, Any]]) -> None:
    """The fingerprints of the version `name`; `first` is all that is known of an old one."""
    st.subheader("Fingerprint", anchor=False)
    st.caption("How it answers three fixed questions: the proof that nothing else answers in its name.")
    if not (kept or first):
        st.text("Its fingerprint is taken when it is loaded for the first time.")
        return
    lines = [
        {"place": one["place"] or UNTOLD, "digest": one["digest"][:_DIGITS], "at": words.clock_time(one["at"])}
        for one in kept
    ] or [{"place": UNTOLD, "digest": first[:_DIGITS], "at": ""}]
    columns = {"digest": "Fingerprint", "place": "Taken on", "at": "When"}
    show.table(lines, columns, alt=f"Fingerprints of {name}", key="prints")
    allowed = console.may(Action.RENEW_FINGERPRINT)
    if st.button("Take it anew …", icon=":material/fingerprint:", key="renew-print", disabled=not allowed):
        ask(console, name)
    if not allowed:
        st.caption("An approver can have it taken anew.")


@st.dialog("Take the fingerprint anew?", width="medium")
def ask(console: Console, name: str) -> None:
    """What that gives up, and the reason to give."""
    st.text(
        "Take it anew only if you know why it changed: its server was upgraded or moved on purpose. Whatever answers "
        f"as {name} next time counts as {name} from then on."
    )
    st.caption("The old fingerprints and your reason stay in the audit chain. Nothing that serves changes.")
    reason = st.text_area("What was exchanged, and why?", key="renew-print-why", max_chars=1000, height=80)
    if st.button("Take it anew", type="primary", icon=":material/fingerprint:", key="renew-print-do"):
        actions.renew_fingerprint(console, name, reason)
        st.rerun()
