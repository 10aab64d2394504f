"""A promotion once more: for a version that its gate passed, whose proposal or trial came to an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show
from dashboard.console import Console
from dashboard.views import asked, proposals


def draw(
    console: Console,
    name: str,
    report: Mapping[str, Any],
    route: Mapping[str, Any] | None,
    proposal: Mapping[str, Any] | None,
) -> None:
    """The button, where the gate passed it against what is live and nothing of it waits or is carried out."""
    if report["verdict"] != "pass" or route is None or route["version"] != report["champion"]:
        return
    if proposal is not None and is_open(proposal, console):
        return
    allowed = console.may(Action.PROPOSE)
    if st.button("Propose its promotion again …", icon=":material/replay:", key="again", disabled=not allowed):
        ask(console, name, report)
    if not allowed:
        st.caption("An operator can propose it again; an approver decides.")
    asked.draw(console, "promote_again", {"version": name})


def is_open(proposal: Mapping[str, Any], console: Console) -> bool:
    """Whether the proposal waits for an answer, or was approved and is being carried out."""
    return proposals.waits(proposal, console) or proposal["state"] == "approved"


@st.dialog("Propose it again?", width="medium")
def ask(console: Console, name: str, report: Mapping[str, Any]) -> None:
    """The reason to give; the gate's report stays what the approval is bound to."""
    st.text(f"The gate passed {name} against {report['champion']}, which is live. An approver decides how it begins.")
    reason = st.text_area("Why once more?", key="again-why", max_chars=500, height=80)
    if st.button("Propose", type="primary", icon=":material/replay:", key="again-do"):
        show.close(actions.ask_again(console, name, report["digest"], reason))
