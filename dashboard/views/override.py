"""Past the gate on purpose: asked for with a typed reason, answered by another approver, on record for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from dashboard.views import asked


def draw(console: Console, name: str, report: Mapping[str, Any], route: Mapping[str, Any] | None) -> None:
    """The way to ask for it, where the gate did not pass and compared with what is live; and what was asked lately."""
    if report["verdict"] == "pass" or route is None or route["version"] != report["champion"]:
        return
    allowed = console.may(Action.PROPOSE)
    if st.button("Override the gate …", icon=":material/gpp_maybe:", key="override", disabled=not allowed):
        ask(console, name, report)
    if not allowed:
        st.caption("An operator can ask for an override; another person, an approver, decides.")
    asked.draw(console, "override", {"version": name})


@st.dialog("Override the gate?", width="medium")
def ask(console: Console, name: str, report: Mapping[str, Any]) -> None:
    """What the gate says, what an override changes and what it does not, and the reason to give."""
    for check in report["checks"]:
        if check["verdict"] != "pass" and check.get("required", True):
            st.text(f"{words.title(check['name'])}: {check['reason']}")
    st.text(f"An override lets {name} go live all the same. The report stays as it is.")
    st.caption(
        "Another person decides, an approver: not you, whatever the settings say. Who asked, who approved and both "
        "reasons stay in the audit chain. Undo it by rolling back: one button, under a second."
    )
    reason = st.text_area("Why should it go live all the same?", key="override-why", max_chars=1000, height=80)
    if st.button("Ask for an override", type="primary", icon=":material/gpp_maybe:", key="override-do"):
        show.close(actions.ask_override(console, name, report["digest"], reason))
