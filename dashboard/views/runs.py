"""Runs: should I spend compute, and is it going well?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from core.states import RUN_STAGES
from dashboard import actions, charts, marks, run_log, show, words
from dashboard.console import Console
from dashboard.views import diagnosis, learnt, proposals, propose
from store.queries import runs as queries
from store.unit_of_work import Tx

LIVE = ("queued", "running", "crashed")
REFRESH_SECONDS = 5
STAGES = {"pairs": "Gather pairs", "train": "Train", "evaluate": "Evaluate", "gate": "Judge"}
LOG_LINES = 40
# What a run does where it does not train, by the event that says how far it is.
DOING = {
    "customs": "Asking the model about the labels",
    "reference": "Scoring the pairs before training",
    "adapt_step": "Adapting to the texts of traffic",
    "evaluate": "Scoring the held-out pairs",
    "compare": "Asking candidate and champion the same",
}


def draw(console: Console) -> None:
    """Proposals and runs, or with ?run=UUID or ?decision=UUID one of them."""
    show.head("Runs", "Should I spend compute, and is it going well?")
    run, decision = st.query_params.get("run", ""), st.query_params.get("decision", "")
    if run:
        detail(console, run)
    elif decision:
        one_proposal(console, decision)
    else:
        everything(console)


def everything(console: Console) -> None:
    """What waits for an answer, then every run."""

    def query(tx: Tx) -> dict[str, Any]:
        return {
            "waiting": queries.proposals(tx, kinds=("retrain", "rollback")),
            "decided": queries.decided(tx, kind="retrain"),
            "runs": queries.listed(tx),
            "pairs": queries.pair_counts(tx),
        }

    found = console.load("runs", query)
    propose.button(console, ("retrain", "rollback"))
    propose.progress(console)
    for row in found["waiting"]:
        proposals.draw(console, row)
    if not found["waiting"] and not found["runs"]:
        nothing(console, found["pairs"])
    if found["runs"]:
        st.subheader("Runs", anchor=False)
        for row in found["runs"]:
            line(console, row)
    if found["decided"]:
        with st.expander("Proposals that were answered"):
            for row in found["decided"]:
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    show.mark(marks.DECISION.get(row["state"]))
                    st.text(
                        f"{words.ago(row['decided_at'], console.now)} by {row['decided_by'] or '–'}: {row['reason']}"
                    )
                    console.link("runs", "Open", decision=row["uuid"])


def nothing(console: Console, pairs: Mapping[str, int]) -> None:
    """No proposal and no run: what is missing."""
    wanted = console.installation.settings.retrain.minimum_pairs
    approved = pairs.get("approved", 0)
    show.empty(
        "No run yet",
        (
            f"{approved:,} of {wanted:,} approved preference pairs are there.",
            "Pairs come from feedback on answers, or from: trimtab import pairs FILE.",
            "When an alert fires, Trimtab proposes a run here with its reason.",
        ),
    )


def one_proposal(console: Console, uuid: str) -> None:
    """One proposal under its permalink."""
    console.link("runs", "All runs", "arrow_back")
    row = console.load(f"decision {uuid}", lambda tx: queries.decision(tx, uuid))
    if row is None:
        show.empty("There is no such proposal", ("It belongs to another installation. Choose one from the list.",))
        return
    proposals.draw(console, row)
    if row["alert_uuid"]:
        console.link("alerts", "The alert behind it", "notifications", alert=row["alert_uuid"])
    if row["run_uuid"]:
        console.link("runs", "Its run", "play_circle", run=row["run_uuid"])


def line(console: Console, row: Mapping[str, Any]) -> None:
    """One run in the list."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"run-{row['uuid']}"):
        show.mark(marks.RUN.get(row["state"]))
        with st.container(gap=None, width="stretch"):
            show.say(row["candidate"] or f"Run {row['uuid'][:8]}", "strong", row["uuid"])
            stage = "" if row["state"] == "succeeded" else f"{STAGES.get(row['stage'], row['stage'])} · "
            what = f"{stage}{went(row, console)}"
            show.say(
                f"{what} · by {row['requested_by']}{': ' + row['message'] if row['message'] else ''}",
                "quiet",
                row["uuid"],
            )
        console.link("runs", "Open", "arrow_forward", run=row["uuid"])


def went(row: Mapping[str, Any], console: Console) -> str:
    """How long it took or has taken."""
    if row["started_at"] is None:
        return f"asked {words.ago(row['created_at'], console.now)}"
    until = row["ended_at"] or console.now
    lasted = words.span((until - row["started_at"]).total_seconds())
    return f"{lasted}, ended {words.ago(row['ended_at'], console.now)}" if row["ended_at"] else f"for {lasted}"


def detail(console: Console, uuid: str) -> None:
    """One run; while it is live its body looks again by itself."""
    console.link("runs", "All runs", "arrow_back")
    row = console.load(f"run {uuid}", lambda tx: queries.one(tx, uuid))
    if row is None:
        show.empty("There is no such run", ("It belongs to another installation. Choose one from the list.",))
        return
    every = REFRESH_SECONDS if row["state"] in LIVE else None

    @st.fragment(run_every=every, key="run-body")
    def watched() -> None:
        body(console, uuid, was_live=every is not None)

    watched()


def body(console: Console, uuid: str, *, was_live: bool) -> None:
    """State, stages, figures, log and buttons of one run."""

    def query(tx: Tx) -> tuple[Any, list[dict[str, Any]]]:
        row = queries.one(tx, uuid)
        return row, queries.progress(tx, row["id"]) if row is not None else []

    row, events = console.load(f"run-body {uuid}", query)
    if was_live and row["state"] not in LIVE:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline"):
        show.mark(marks.RUN.get(row["state"]))
        st.text(row["candidate"] or f"Run {uuid[:8]}")
    if row["message"]:
        st.text(row["message"])
    stages(row)
    latest: dict[str, Any] = next((event for event in reversed(events) if event.get("event") == "step"), {})
    how_far(row, latest)
    buttons(console, row, latest)
    told = diagnosis.diagnose(events)
    if told:
        st.text("\n".join(f"• {sentence}" for sentence in told))
    figures(events)
    learnt.draw(events)
    about(console, row, events)
    log(events)


def stages(row: Mapping[str, Any]) -> None:
    """The four stages with where the run is."""
    at = RUN_STAGES.index(row["stage"])
    with st.container(horizontal=True, gap="small"):
        for place, stage in enumerate(RUN_STAGES):
            done = place < at or row["state"] == "succeeded"
            if done:
                st.badge(STAGES[stage], icon=":material/check:", color="green")
            elif place == at:
                st.badge(
                    STAGES[stage],
                    icon=f":material/{marks.RUN[row['state']].icon}:",
                    color=marks.RUN[row["state"]].colour,
                )
            else:
                st.badge(STAGES[stage], icon=":material/radio_button_unchecked:", color="gray")


def how_far(row: Mapping[str, Any], latest: Mapping[str, Any]) -> None:
    """Steps done and the time left; of a run that succeeded, how long it took."""
    if row["state"] == "succeeded":
        st.text(f"Took {words.span((row['ended_at'] - row['started_at']).total_seconds())}.")
        return
    now: Mapping[str, Any] = row["progress"]
    if now.get("event") == "inspect":
        st.progress(min(max(float(now["share"]), 0.0), 1.0))
        st.text(f"Customs look at the pairs: {now['what']}" if now["what"] else "Customs are done")
        return
    # What the last step told, its time left too, goes on counting only while it trains.
    step = {} if str(now.get("event")) in DOING else latest
    progress = {**step, **{name: value for name, value in now.items() if value is not None}}
    done, of, left = progress.get("step"), progress.get("of"), progress.get("eta_s")
    if not isinstance(done, int | float) or not isinstance(of, int | float) or not of:
        return
    share = min(float(done) / float(of), 1.0)
    st.progress(share)
    doing = DOING.get(str(progress.get("event")))
    told = f"{doing}: {100 * share:.0f} %" if doing else f"Step {int(done)} of {int(of)}"
    if isinstance(left, int | float) and row["state"] == "running":
        told += f", about {words.span(float(left))} left"
    st.text(told)


def buttons(console: Console, row: Mapping[str, Any], latest: Mapping[str, Any]) -> None:
    """Stop and keep the checkpoint, where there may be one, or resume from it."""
    if row["state"] in ("queued", "running"):
        asked = row["stop_requested"]
        gathers = row["stage"] == "pairs"
        label = "Stopping …" if asked else "Stop" if gathers else "Stop and keep the checkpoint"
        allowed = console.may(Action.STOP_RUN) and not asked
        if st.button(label, icon=":material/stop_circle:", key="stop", disabled=not allowed):
            actions.stop_run(console, row["uuid"], trains=not gathers)
            st.rerun()
        if not console.may(Action.STOP_RUN):
            st.caption("An approver can stop it.")
    if row["state"] in ("cancelled", "failed"):
        step = latest.get("step")
        label = f"Resume from step {int(step)}" if isinstance(step, int) and row["stage"] == "train" else "Resume"
        if st.button(label, icon=":material/play_circle:", key="resume", disabled=not console.may(Action.RESUME_RUN)):
            actions.resume_run(console, row["uuid"])
            st.rerun()
        if not console.may(Action.RESUME_RUN):
            st.caption("An approver can resume it.")


def figures(events: Sequence[Mapping[str, Any]]) -> None:
    """Loss, margin, accuracy and, where it was measured, the divergence from the reference by step."""
    if not any(event.get("event") == "step" for event in events):
        return
    names = {"loss": "Loss", "margin": "Reward margin", "accuracy": "Accuracy"}
    if any("kl" in event for event in events):
        names["kl"] = "Moved from the reference (KL, nats a token)"
    for place, (field, name) in zip(st.columns(len(names), gap="medium"), names.items(), strict=True):
        found = [
            event[field]
            for event in events
            if event.get("event") == "step" and isinstance(event.get(field), int | float)
        ]
        with place:
            st.caption(name)
            if found:
                alt = f"{name} over {words.count(len(found), 'step')}, from {found[0]:.3g} to {found[-1]:.3g}."
                show.chart(charts.learning(events, field), alt, f"learn-{field}")
            else:
                st.text("No value yet")


def about(console: Console, row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
    """Why it runs, on what, and with which settings."""
    start = next((event for event in events if event.get("event") == "start"), {})
    found: dict[str, object] = {
        "Why": row["why"],
        "Approved by": row["requested_by"],
        "Training pairs": row["train_pairs"],
        "Held-out pairs": row["held_out_pairs"],
        "Data version": (row["dataset_digest"] or "")[:16],
        "Device": start.get("device"),
        "Precision": start.get("precision"),
        "Attempts": row["attempts"] or None,
    }
    st.subheader("About this run", anchor=False)
    show.facts({**found, **proposals.cost(row["forecast"])})
    with st.container(horizontal=True):
        if row["decision_uuid"]:
            console.link("runs", "The proposal", "assignment", decision=row["decision_uuid"])
        if row["candidate"]:
            console.link("models", "The candidate and its gate", "rule", version=row["candidate"])
    with st.expander("Settings of the run"):
        st.json(dict(row["spec"]), expanded=1)


def log(events: Sequence[Mapping[str, Any]]) -> None:
    """The last lines of the run's log, newest first."""
    if not events:
        return
    st.subheader("Log", anchor=False)
    st.caption("Newest first; times are UTC.")
    lines = [f"{event['at']:%H:%M:%S}  {run_log.sentence(event)}" for event in reversed(events[-LOG_LINES:])]
    st.code("\n".join(lines), language=None, height=260, wrap_lines=True)
