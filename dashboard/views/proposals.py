"""A proposal as a person decides on it: all of what the approval covers, then approve with the verb or reject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, marks, show, words
from dashboard.console import Console
from dashboard.deciding import is_own, may_answer
from dashboard.views import prospects, trial
from store import deployments

VERBS = {"retrain": "Approve and start", "promote": "Promote", "rollback": "Roll back"}
DONE = {
    "retrain": "Approved. The run is queued and starts within seconds.",
    "promote": "Approved. The version is loaded and proved, then it serves.",
    "rollback": "Rolled back. The earlier version serves; its fingerprint is being checked.",
}
TRIED = "Approved. The version is loaded and proved, then its trial begins; it shows here."
SPEC = {
    "champion": "Trained from",
    "base": "Base",
    "trainer": "Trainer",
    "steps": "Steps",
    "max_steps": "Steps",
    "pairs_per_step": "Pairs a step",
    "tokens_per_batch": "Tokens at once at most",
    "precision": "Precision",
    "max_train_pairs": "Training pairs at most",
    "max_held_out_pairs": "Held-out pairs at most",
    "dataset": "Locked dataset",
    "lr": "Learning rate",
    "beta": "Beta",
    "device": "Device",
}
BODY = {
    "deployment": "Deployment",
    "from": "Serves now",
    "to": "Serves then",
    "candidate": "Candidate",
    "champion": "Compared with",
    "verdict": "Gate",
}
# How the parts of a proposal are headed while it may come about, once it has, and where it did not. Its own sentences
# are those that were shown for approval: they are never reworded.
HEADS = {
    "open": {"changes": "What changes", "stays": "What stays", "undo": "How to undo it"},
    "done": {"changes": "What it was to change, as proposed", "stays": "What was to stay", "undo": "How to undo it"},
    "never": {"changes": "What it would have changed, as proposed", "stays": "What would have stayed"},
}
TENSES = {"proposed": "open", "others": "open", "approved": "open", "executed": "done"}
PAST = {"from": "Served then", "to": "Was to serve"}


def draw(console: Console, row: Any) -> None:
    """The proposal `row` with its buttons while it waits."""
    uuid, body = row["uuid"], row["body"]
    open_now = waits(row, console)
    with st.container(border=True, key=f"proposal-{uuid}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.DECISION_KIND.get("override" if "override" in body else row["kind"]))
            show.mark(marks.DECISION.get(standing(row, console)))
        with st.container(gap=None):
            show.say(row["reason"], "strong", f"why-{uuid}")
            show.say(
                f"For {row['subject']}, proposed by {row['proposer']} {words.ago(row['created_at'], console.now)}"
                f"{expiry(row, console)}",
                "quiet",
                f"by-{uuid}",
            )
        if row["decided_by"]:
            comment = row["comment"] if row["approved_with"] is None else row["approved_with"]
            show.say(f"{row['decided_by']}, {words.ago(row['decided_at'], console.now)}: {comment or 'no comment'}")
        if fell_through(row):
            show.say(f"Not carried out. {row['comment']}")
        tense = TENSES.get(standing(row, console), "never")
        covers(body, key=uuid, tense=tense)
        if row["kind"] == "retrain":
            prospects.draw(console, uuid, tense=tense, waits=open_now)
        if open_now:
            overtaken(console, row)
            buttons(console, row)


def waits(row: Any, console: Console) -> bool:
    """Whether the proposal can be answered now."""
    return bool(row["state"] == "proposed" and row["expires_at"] > console.now)


def fell_through(row: Mapping[str, Any]) -> bool:
    """Whether it was approved and came to nothing: its version could not go live, or somebody called it off."""
    return row["state"] == "superseded" and row["approved_with"] is not None


def standing(row: Mapping[str, Any], console: Console) -> str:
    """The name of the mark of where the proposal stands, for who looks at it."""
    if waits(row, console):
        return "proposed" if may_answer(row, console) else "others"
    if row["state"] == "proposed":
        return "expired"
    return "undone" if fell_through(row) else str(row["state"])


def expiry(row: Mapping[str, Any], console: Console) -> str:
    """Until when a proposal that waits can be answered, or since when it cannot; nothing for one that was answered."""
    if row["state"] not in ("proposed", "expired"):
        return ""
    return f"; {'expires' if waits(row, console) else 'expired'} {words.ago(row['expires_at'], console.now)}"


def overtaken(console: Console, row: Mapping[str, Any]) -> None:
    """That another version went live since a run was proposed: the gate would compare with one that is not live."""
    if row["kind"] != "retrain":
        return
    route = console.load("live", lambda tx: deployments.current(tx, row["subject"]))
    start = row["body"].get("spec", {}).get("champion")
    if route is not None and start not in (None, route["version"]):
        st.text(
            f"{route['version']} is live by now: this run would start from {start}, and what comes of it could not be "
            "promoted. Reject this; the next proposal starts from what is live."
        )


def covers(body: Mapping[str, Any], key: str, tense: str = "open") -> None:
    """Everything that an approval is bound to: what changes and what it costs in words, and the whole of it."""
    for name, label in HEADS[tense].items():
        said = body.get(name)
        if said and isinstance(said, list | str):
            with st.container(gap=None):
                st.caption(label)
                st.text(said if isinstance(said, str) else "\n".join(f"• {line}" for line in said))
    show.facts({**cost(body.get("estimate")), **pairs(body.get("pairs"))})
    with st.expander("All that this approval covers", key=f"covers-{key}"):
        spec = body.get("spec")
        labels = BODY if tense == "open" else {**BODY, **PAST}
        points = {label: body[name] for name, label in labels.items() if isinstance(body.get(name), str | int | float)}
        if isinstance(spec, Mapping):
            points |= {
                label: spec[name] for name, label in SPEC.items() if isinstance(spec.get(name), str | int | float)
            }
        show.facts(points)
        st.json(dict(body), expanded=1)


def cost(estimate: Any) -> dict[str, object]:
    """Time, memory and device of an estimate, in words."""
    if not isinstance(estimate, Mapping):
        return {}
    found: dict[str, object] = {}
    low, high = estimate.get("seconds_low"), estimate.get("seconds_high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        found["Time"] = f"{words.span(low)} to {words.span(high)}"
    elif isinstance(estimate.get("seconds"), int | float):
        found["Time"] = words.span(float(estimate["seconds"]))
    if isinstance(estimate.get("memory_mb"), int | float):
        found["Memory"] = f"{float(estimate['memory_mb']):,.0f} MiB"
    if isinstance(estimate.get("device"), str):
        found["Runs on"] = {"cpu": "the processor", "cuda": "the graphics processor"}.get(
            estimate["device"], estimate["device"]
        )
    if isinstance(estimate.get("basis"), str):
        found["Estimated from"] = estimate["basis"]
    return found


def pairs(counts: Any) -> dict[str, object]:
    """Preference pairs by state, in words."""
    if not isinstance(counts, Mapping):
        return {}
    listed = [f"{number:,} {state}" for state, number in counts.items() if isinstance(number, int) and number]
    return {"Preference pairs": ", ".join(listed) or "none"}


def buttons(console: Console, row: Mapping[str, Any]) -> None:
    """Approve and reject; who may not sees why."""
    uuid, kind = row["uuid"], row["kind"]
    with st.container(horizontal=True, gap="small"):
        if st.button(
            f"{VERBS[kind]} …",
            icon=":material/check:",
            type="primary",
            key=f"approve-{uuid}",
            disabled=not may_answer(row, console),
        ):
            confirm(console, row)
        if st.button(
            "Reject …", icon=":material/close:", key=f"reject-{uuid}", disabled=not console.may(Action.REJECT)
        ):
            refuse(console, row)
    if is_own(row, console):
        st.caption("You proposed this; another approver must answer it.")
    elif not may_answer(row, console):
        st.caption("An approver can answer this.")


@st.dialog("Approve this?", width="medium")
def confirm(console: Console, row: Mapping[str, Any]) -> None:
    """What changes, what does not, how to undo it; the button is the verb. Bound to the digest that was shown."""
    kind = row["kind"]
    st.text(row["reason"])
    covers(row["body"], key=f"dialog-{row['uuid']}")
    begin = trial.choose(console, row["uuid"]) if kind == "promote" else trial.Begin()
    adapt = choose_adaptation(console, row["uuid"]) if kind == "retrain" else 0
    asked = "Why should it go live all the same?" if "override" in row["body"] else "Comment (optional)"
    comment = st.text_input(asked, key=f"comment-{row['uuid']}", max_chars=500)
    if st.button(VERBS[kind], type="primary", icon=":material/check:", key=f"confirm-{row['uuid']}"):
        done = TRIED if begin.share or begin.shadow else DONE[kind]
        show.close(
            actions.approve(
                console,
                row["uuid"],
                row["digest"],
                comment,
                done,
                share=begin.share,
                shadow=begin.shadow,
                hold=begin.hold,
                adapt=adapt,
                segment=begin.segment,
            )
        )


def choose_adaptation(console: Console, key: str) -> int:
    """Steps of adaptation that come first; 0 for none."""
    steps = console.installation.settings.retrain.adapt_steps
    if not st.checkbox(f"First adapt it to recent questions, without labels ({steps} steps)", key=f"adapt-{key}"):
        return 0
    st.caption(
        "It learns how people write now, from their questions only; those with personal data are left out. The run "
        "takes that much longer, and the gate judges what comes of both."
    )
    return steps


@st.dialog("Reject this proposal?")
def refuse(console: Console, row: Mapping[str, Any]) -> None:
    """A rejection with its reason."""
    st.text(row["reason"])
    reason = st.text_input("Why not?", key=f"why-not-{row['uuid']}", max_chars=500)
    if st.button("Reject", type="primary", key=f"refuse-{row['uuid']}"):
        show.close(actions.reject(console, row["uuid"], reason))
