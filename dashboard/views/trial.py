"""A promotion on trial: how far it is, what its users met, and a person's word at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.roles import Action
from core.segments import Segment, split
from dashboard import actions, canary, marks, show, words
from dashboard.console import Console
from dashboard.views import segments
from store import deployments, trials
from store.unit_of_work import Tx

SHARES = (1, 5, 10, 20, 50)
ALL, FIRST, COMPARE = "All at once", "Canary", "A/B test"
EVEN = 50
VERBS = {"promote": "Promote to all", "abort": "Abort", "hold": "Hold", "let_go": "Let go"}
NEEDS = {
    "promote": Action.PROMOTE,
    "abort": Action.ROLL_BACK,
    "hold": Action.PROMOTE,
    "let_go": Action.PROMOTE,
}
ICONS = {"promote": "check", "abort": "undo", "hold": "pause", "let_go": "play_arrow"}
ABOUT = {
    FIRST: "A person keeps one version while it lasts. It goes live by itself when enough was seen, and is rolled back "
    "once it is proved worse; you can decide at any time.",
    COMPARE: "A person keeps one version while it lasts. Both are compared on what people dislike, at every look; "
    "nothing moves by itself, you end it.",
}
MEANS = {
    "promote": "The candidate answers every request within a second, whatever the numbers say so far.",
    "abort": "What serves now answers every request within a second. The candidate is kept.",
    "hold": "The share stays as it is until you let go. Numbers are still collected; nothing moves by itself.",
    "let_go": "The numbers decide again: live when enough was seen, rolled back once it is proved worse.",
    "let_go_test": "The A/B test becomes a canary: live by itself when enough was seen, rolled back once it is proved "
    "worse.",
    "call_off": "It is not loaded any further, and what serves now goes on answering. The candidate is kept.",
}


@dataclass(frozen=True, slots=True)
class Begin:
    """How a promotion begins: for whom, with which share (0: all at once), after how many copies, held or not."""

    share: int = 0
    shadow: int = 0
    hold: bool = False
    segment: Segment | None = None


def choose(console: Console, key: str) -> Begin:
    """Ask for whom a promotion is and how it begins."""
    settings = console.installation.settings.retrain
    segment, people = segments.choose(console, key)
    preset = settings.canary_share
    how = st.radio("Who gets it?", (ALL, FIRST, COMPARE), index=int(preset > 0), key=f"how-{key}", horizontal=True)
    share = 0
    if how != ALL:
        usual = EVEN if how == COMPARE else preset or 5
        shares, place = sorted({*SHARES, usual}), f"split-{key}" if how == COMPARE else f"share-{key}"
        share = st.selectbox("Share of people", shares, index=shares.index(usual), format_func="{} %".format, key=place)
        st.caption(ABOUT[how])
        if segment is not None and people * share < 100 * settings.canary_answers:
            st.caption(
                f"{share} % of them are {people * share // 100:,} people; {settings.canary_answers:,} are wanted."
            )
    wanted = settings.shadow_answers
    copied = st.checkbox(
        f"First let it answer {wanted} copied requests that nobody sees", key=f"shadow-{key}", value=False
    )
    return Begin(share, wanted if copied else 0, how == COMPARE, segment)


def waiting(console: Console, row: Mapping[str, Any]) -> None:
    """A promotion that was approved and is not carried out yet: why not, and the way to call it off."""
    with st.container(border=True, key=f"requested-{row['id']}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.DEPLOYMENT[row["state"]])
        whom, late = segments.named(row["deployment"]), bool(row["message"])
        state = "cannot be loaded yet" if late else "is being loaded and proved"
        show.say(f"{row['version']} {state}, for {whom}", "strong", f"requested-{row['id']}")
        asked = f"Approved {words.ago(row['requested_at'], console.now)} by {row['actor']}."
        show.say(asked, "quiet", f"requested-{row['id']}")
        if late:
            st.text(f"Not yet: {row['message']}")
            st.caption("It is tried again by itself until it can be, or until somebody aborts it.")
        allowed = console.may(NEEDS["abort"])
        label, icon = f"{VERBS['abort']} …", f":material/{ICONS['abort']}:"
        if st.button(label, icon=icon, key=f"abort-{row['id']}", disabled=not allowed):
            decide(console, "abort", row["uuid"], row["version"], "call_off")
        if not allowed:
            st.caption("An approver can abort it.")


def of(tx: Tx, deployment: str, version: str = "") -> dict[str, list[dict[str, Any]]]:
    """What of `deployment` and its segments is `asked` for and not carried out, and what is `running` on trial, each
    with whether it is an A/B test (`compares`); of one `version` where it is named."""
    found = {"asked": deployments.requested(tx, deployment), "running": trials.running(tx, deployment)}
    return {
        kind: [
            {**row, "compares": trials.is_comparison(tx, row)} for row in rows if version in ("", str(row["version"]))
        ]
        for kind, rows in found.items()
    }


def both(console: Console, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """What `of` found."""
    for row in found["asked"]:
        waiting(console, row)
    for row in found["running"]:
        draw(console, row)


def draw(console: Console, row: Mapping[str, Any]) -> None:
    """The trial `row` with its numbers and its buttons."""
    found, uuid = row["evidence"], row["uuid"]
    _, segment = split(row["deployment"])
    own = f"-{row['id']}" if segment is not None else ""
    with st.container(border=True, key=f"trial{own}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.DEPLOYMENT["compared" if row["compares"] and row["state"] == "canary" else row["state"]])
            if row["held_by"] and not row["compares"]:
                st.badge("Held", icon=":material/pause:", color="orange")
        people = "the people" if segment is None else f"the people with {segment}"
        share = f"answers {row['share']} % of {people}" if row["state"] == "canary" else "answers copies in shadow"
        show.say(f"{row['version']} {share}", "big", f"trial{own}")
        since = f"since {words.clock_time(row['trial_at'])}, beside {row['champion']}"
        show.say(since + ending(row), "quiet", f"trial-since{own}")
        if found:
            progress(row, found, own)
        else:
            st.text("Nothing was seen of it yet.")
        with st.container(horizontal=True, gap="small"):
            for verb in ("promote", "abort", "let_go" if row["held_by"] else "hold"):
                allowed = console.may(NEEDS[verb])
                label = f"{VERBS[verb]} …"
                icon = f":material/{ICONS[verb]}:"
                if st.button(label, icon=icon, key=f"trial-{verb}{own}", disabled=not allowed):
                    means = "let_go_test" if verb == "let_go" and row["compares"] else verb
                    decide(console, verb, uuid, row["version"], means)
        if not console.may(Action.PROMOTE):
            st.caption("An approver can decide this.")


def ending(row: Mapping[str, Any]) -> str:
    """Who holds the trial, or that a person ends it."""
    if row["compares"]:
        return f"; an A/B test begun by {row['held_by']}, ended by a person"
    return f"; held by {row['held_by']}" if row["held_by"] else ""


def progress(row: Mapping[str, Any], found: Mapping[str, Any], own: str = "") -> None:
    """What the last look at the trial found."""
    answered, wanted = int(found["answered"]), int(found["wanted"])
    unit = "people or conversations met it" if row["state"] == "canary" else "copies answered"
    far = f"{answered:,} of {wanted:,} {unit}" if answered <= wanted else f"{answered:,} {unit}; {wanted:,} were wanted"
    st.progress(min(answered / max(wanted, 1), 1.0), text=far)
    show.say(found["reason"])
    measures = found["measures"]
    if not measures:
        return
    figure = canary.rates(measures, row["version"], row["champion"])
    show.chart(figure, canary.described(measures), f"trial-rates{own}")
    st.caption("Intervals hold at every look together. Feedback: of judged answers.")
    if compared := found.get("compared"):
        st.text(f"Which is better? {compared['reason']}")
        st.text(canary.described([one for one in measures if one["name"] == "negative_feedback"]))
        worse, better, limit = (f"{compared[name]:,.1f}" for name in ("worse", "better", "limit"))
        st.caption(
            f"Evidence that it is disliked more {worse}, less {better}; either is proved at {limit}, at any look."
        )
    else:
        undrawn(row, measures)
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
        show.table(shown, columns, alt="Each measure with its verdict", key=f"trial-measures{own}")


def undrawn(row: Mapping[str, Any], measures: Sequence[Mapping[str, Any]]) -> None:
    """Why no version can be called the better one: which of both met more than its share, and what to do about it."""
    answered = next(one for one in measures if one["name"] == "errors")
    theirs, ours = int(answered["candidate"]["n"]), int(answered["champion"]["n"])
    late = theirs <= (theirs + ours) * row["share"] / 100
    name, met, share = (row["champion"], ours, 100 - row["share"]) if late else (row["version"], theirs, row["share"])
    st.text(
        f"Which is better? That cannot be said: {name} met {met:,} of {theirs + ours:,} people or conversations, more "
        f"than its share of {share} % explains."
    )
    usual = "A gateway that loaded the candidate late is the usual reason. " if late else ""
    st.caption(f"{usual}Abort it and propose it again.")


@st.dialog("Decide this?", width="medium")
def decide(console: Console, verb: str, uuid: str, version: str, means: str) -> None:
    """One reason and one click. `means` says which sentence tells what follows."""
    st.text(f"{version}: {MEANS[means]}")
    reason = st.text_input("Why?", key="trial-why", max_chars=500)
    if st.button(VERBS[verb], type="primary", icon=f":material/{ICONS[verb]}:", key="trial-do"):
        show.close(actions.decide_trial(console, means if means == "call_off" else verb, uuid, reason))
