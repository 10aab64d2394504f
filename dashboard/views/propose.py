"""Proposing by hand: what an operator asks to be decided, with a typed reason, answered by somebody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show
from dashboard.console import Console
from dashboard.views import asked
from store.queries import commands as queries

WORDS = {"retrain": "Retraining", "rollback": "A rollback"}
MEANS = {
    "retrain": "A run trains a new version from approved preference pairs. Going live needs its own approval.",
    "rollback": "The version before this one answers again. An approver can also do that at once on the Models page.",
}


def button(
    console: Console, kinds: Sequence[str], *, alert: str = "", dataset: str = "", label: str = "Propose …"
) -> None:
    """The way to the form; greyed for those who may not propose. `dataset` is the digest of a locked one."""
    if st.button(label, icon=":material/add_task:", key="propose", disabled=not console.may(Action.PROPOSE)):
        ask(console, list(kinds), alert, dataset)


@st.dialog("Propose to decide")
def ask(console: Console, kinds: list[str], alert: str, dataset: str) -> None:
    """What, and why. The worker adds what it changes, what it costs and how to undo it."""
    kind = kinds[0]
    if len(kinds) > 1:
        kind = st.radio("What?", kinds, format_func=WORDS.__getitem__, key="propose-what", horizontal=True) or kind
    st.text(MEANS[kind])
    if dataset:
        st.text(f"It trains on the locked dataset {dataset[:16]} as it is: nothing is drawn anew.")
    reason = st.text_area("Why?", key="propose-why", max_chars=500, height=80)
    st.caption("An approver decides on it: not you, unless approving one's own proposals is switched on.")
    if st.button("Propose", type="primary", key="propose-do"):
        show.close(actions.propose(console, kind, reason, alert=alert, dataset=dataset))


def progress(console: Console, *, alert: str = "", dataset: str = "") -> None:
    """Proposals that were asked for here lately, each with the way to what came of it."""

    def done(row: Mapping[str, Any]) -> None:
        found = console.load(f"result {row['uuid']}", lambda tx: queries.result(tx, row["uuid"]))
        if found.get("waited_already"):
            st.text("One like it waits already. It was not proposed again.")
        console.link("runs", "Open the proposal", "arrow_forward", decision=str(found.get("decision", "")))

    asked.draw(console, "propose", {"alert": alert, "dataset": dataset}, done)
