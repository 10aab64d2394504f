"""A promotion on trial: how far it is, what its users met, and a person's word at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, canary, marks, show, words
from dashboard.console import Console

SHARES = (1, 5, 10, 20, 50)
ALL, FIRST = "All at once", "Canary"
VERBS = {"promote": "Promote to all", "abort": "Abort", "hold": "Hold", "let_go": "Let go"}
NEEDS = {
    "promote": Action.PROMOTE,
    "abort": Action.ROLL_BACK,
    "hold": Action.PROMOTE,
    "let_go": Action.PROMOTE,
}
ICONS = {"promote": "check", "abort": "undo", "hold": "pause", "let_go": "play_arrow"}
MEANS = {
    "promote": "The candidate answers every request within a second, whatever the numbers say so far.",
    "abort": "What serves now answers every request within a second. The candidate is kept.",
    "hold": "The share stays as it is until you let go. Numbers are still collected; nothing moves by itself.",
    "let_go": "The numbers decide again: live when enough was seen, rolled back once it is proved worse.",
}


def choose(console: Console, key: str) -> tuple[int, int]:
    """How a promotion begins: (share in percent, or 0 for all at once; copied requests before that)."""
    preset = console.installation.settings.retrain.canary_share
    how = st.radio("Who gets it?", (ALL, FIRST), index=int(preset > 0), key=f"how-{key}", horizontal=True)
    share = 0
    if how == FIRST:
        shares = sorted({*SHARES, preset} - {0})
        share = st.selectbox(
            "Share of people", shares, index=shares.index(preset or 5), format_func="{} %".format, key=f"share-{key}"
        )
        st.caption(
            "A person keeps one version while it lasts. It goes live by itself when enough was seen, and is rolled "
            "back once it is proved worse; you can decide at any time."
        )
    wanted = console.installation.settings.retrain.shadow_answers
    copied = st.checkbox(
        f"First let it answer {wanted} copied requests that nobody sees", key=f"shadow-{key}", value=False
    )
    return share, wanted if copied else 0


def draw(console: Console, row: Mapping[str, Any]) -> None:
    """The trial `row` with its numbers and its buttons."""
    found, uuid = row["evidence"], row["uuid"]
    with st.container(border=True, key="trial"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.DEPLOYMENT[row["state"]])
            if row["held_by"]:
                st.badge("Held", icon=":material/pause:", color="orange")
        share = f"answers {row['share']} % of the people" if row["state"] == "canary" else "answers copies in shadow"
        show.say(f"{row['version']} {share}", "big", "trial")
        since = f"since {words.clock_time(row['trial_at'])}, beside {row['champion']}"
        show.say(since + (f"; held by {row['held_by']}" if row["held_by"] else ""), "quiet", "trial-since")
        if found:
            progress(row, found)
        else:
            st.text("Nothing was seen of it yet.")
        with st.container(horizontal=True, gap="small"):
            for verb in ("promote", "abort", "let_go" if row["held_by"] else "hold"):
                allowed = console.may(NEEDS[verb])
                label = f"{VERBS[verb]} …"
                icon = f":material/{ICONS[verb]}:"
                if st.button(label, icon=icon, key=f"trial-{verb}", disabled=not allowed):
                    decide(console, verb, uuid, row["version"])
        if not console.may(Action.PROMOTE):
            st.caption("An approver can decide this.")


def progress(row: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """What the last look at the trial found."""
    answered, wanted = int(found["answered"]), int(found["wanted"])
    unit = "people or conversations met it" if row["state"] == "canary" else "copies answered"
    st.progress(min(answered / max(wanted, 1), 1.0), text=f"{answered:,} of {wanted:,} {unit}")
    show.say(found["reason"])
    measures = found["measures"]
    if not measures:
        return
    figure = canary.rates(measures, row["version"], row["champion"])
    show.chart(figure, canary.described(measures), "trial-rates")
    st.caption("Intervals hold at every look together. Feedback: of judged answers.")
    shown = [
        {
            "name": words.title(one["name"]),
            "verdict": marks.VERDICT.get(one["verdict"], marks.UNKNOWN).word,
            "evidence": f"{one['evidence']:,.1f} of {one['limit']:,.0f}",
            "reason": one["reason"],
        }
        for one in measures
    ]
    with st.expander("Why"):
        columns = {
            "name": "Measure",
            "verdict": "Verdict",
            "evidence": "Evidence that it is worse",
            "reason": "In words",
        }
        show.table(shown, columns, alt="Each measure with its verdict", key="trial-measures")


@st.dialog("Decide this?", width="medium")
def decide(console: Console, verb: str, uuid: str, version: str) -> None:
    """One reason and one click."""
    st.text(f"{version}: {MEANS[verb]}")
    reason = st.text_input("Why?", key="trial-why", max_chars=500)
    if st.button(VERBS[verb], type="primary", icon=f":material/{ICONS[verb]}:", key="trial-do"):
        actions.decide_trial(console, verb, uuid, reason)
        st.rerun()
