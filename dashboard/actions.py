"""What the buttons do: each looks the session up again, then makes one write; the store checks the role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from core.errors import InvalidInput, TrimtabError, Unavailable
from core.rules import Threshold
from core.segments import Segment
from dashboard.console import Console, SignedOut
from store import (
    accounts,
    alerts,
    commands,
    decisions,
    labelling,
    labels,
    limits,
    monitors,
    overrides,
    pairs,
    prints,
    runs,
    trials,
)
from store.unit_of_work import Tx


def act(console: Console, done: str, work: Callable[[Tx, str], Any]) -> bool:
    """Do `work` as the account of the session, and keep what to tell, and of a failure whether the same person can mend
    it or try it again; returns whether it was done."""
    installation = console.installation
    now = installation.clock()
    try:
        with installation.store.write(now) as tx:
            row = accounts.by_token(tx, console.token, now=now)
            if row is None:
                raise SignedOut("You are signed out, so nothing was changed.", "Sign in again.")
            work(tx, row["name"])
    except TrimtabError as error:
        mends = isinstance(error, InvalidInput | Unavailable)
        st.session_state["_told"] = {"good": False, "words": str(error), "mends": mends}
        return False
    st.session_state["_told"] = {"good": True, "words": done}
    return True


def acknowledge(console: Console, uuid: str) -> bool:
    """Take a firing alert."""
    return act(console, "The alert is yours now.", lambda tx, actor: alerts.acknowledge(tx, uuid, actor=actor))


def comment(console: Console, uuid: str, body: str) -> bool:
    """Write something to an alert."""
    return act(console, "Your comment was added.", lambda tx, actor: alerts.comment(tx, uuid, body, actor=actor))


def silence(console: Console, monitor: str, reason: str, hours: float) -> bool:
    """Hold a monitor's notices back for some hours."""
    return act(
        console,
        "Notices are held back until then. The alert stays visible.",
        lambda tx, actor: alerts.silence(
            tx, monitor=monitor, reason=reason, ends_at=tx.now + timedelta(hours=hours), actor=actor
        ),
    )


def unsilence(console: Console, id: int) -> bool:
    """End a silence now."""
    return act(console, "Notices go out again.", lambda tx, actor: alerts.unsilence(tx, id, actor=actor))


def approve(
    console: Console,
    uuid: str,
    digest: str,
    comment: str,
    done: str,
    *,
    share: int = 0,
    shadow: int = 0,
    hold: bool = False,
    adapt: int = 0,
    segment: Segment | None = None,
) -> bool:
    """Approve the proposal whose digest was shown; a promotion with a `share` begins as a canary, held with `hold`, a
    run with `adapt` steps of adaptation."""
    allow = console.installation.settings.retrain.allow_self_approval
    return act(
        console,
        done,
        lambda tx, actor: decisions.approve(
            tx,
            uuid,
            actor=actor,
            digest=digest,
            comment=comment,
            allow_self=allow,
            share=share,
            shadow=shadow,
            hold=hold,
            adapt=adapt,
            segment=segment,
        ),
    )


def reject(console: Console, uuid: str, reason: str) -> bool:
    """Turn a proposal down."""
    return act(
        console, "The proposal was rejected.", lambda tx, actor: decisions.reject(tx, uuid, actor=actor, reason=reason)
    )


def roll_back(
    console: Console, reason: str, *, away_from: str, to: str, deployment: str = "", everybody: bool = False
) -> bool:
    """Serve an earlier version again, at once: as `deployment` (a segment's), or `everybody` with all segments."""
    return act(
        console,
        f"{to} serves again. Its fingerprint is being checked.",
        lambda tx, actor: decisions.roll_back(
            tx,
            deployment=deployment or console.deployment,
            actor=actor,
            reason=reason,
            to=to,
            away_from=away_from,
            everybody=everybody,
        ),
    )


_TRIAL = {
    "promote": (trials.promote, "It serves everybody now. Its fingerprint is being checked."),
    "abort": (trials.abort, "The trial is over. What served before answers everybody."),
    "call_off": (trials.abort, "Called off. Nothing has changed for anybody."),
    "hold": (trials.hold, "Held. Nothing moves until you let go."),
    "let_go": (trials.let_go, "The numbers decide again."),
}


def decide_trial(console: Console, verb: str, uuid: str, reason: str) -> bool:
    """Promote to all, abort, hold or let go a promotion on trial, or call off one that is not loaded yet."""
    do, done = _TRIAL[verb]
    return act(console, done, lambda tx, actor: do(tx, uuid, actor=actor, reason=reason))


def renew_fingerprint(console: Console, name: str, reason: str) -> bool:
    """Have the version `name` fingerprinted anew, as its server was exchanged on purpose."""
    return act(
        console,
        f"{name} is fingerprinted anew when it is next loaded or proved.",
        lambda tx, actor: prints.renew(tx, name, actor=actor, reason=reason),
    )


def stop_run(console: Console, uuid: str, *, trains: bool = True) -> bool:
    """Ask a run to stop and keep its checkpoint, or that `trains` not yet to stop."""
    return act(
        console,
        "The run stops after its present step and keeps its checkpoint."
        if trains
        else "The run stops. It has not trained yet.",
        lambda tx, actor: runs.request_stop(tx, uuid, actor=actor),
    )


def resume_run(console: Console, uuid: str) -> bool:
    """Let a stopped or failed run go on from its checkpoint."""
    return act(
        console,
        "The run is queued again and goes on from its checkpoint.",
        lambda tx, actor: runs.resume(tx, uuid, actor=actor),
    )


def run_monitor(console: Console, monitor: str) -> bool:
    """Ask the scheduler to run a monitor now."""
    return act(
        console,
        "Asked. The result shows here after the next look.",
        lambda tx, actor: commands.ask(tx, "run_monitor", owner="monitors", args={"monitor": monitor}, actor=actor),
    )


def run_suite(console: Console, monitor: str, which: str) -> bool:
    """Ask the scheduler for a quick or a full pass over a monitor's suites."""
    args = {"monitor": monitor, "pass": which}
    return act(
        console,
        "Asked. The answers show here when the pass has ended.",
        lambda tx, actor: commands.ask(tx, "run_suite", owner="monitors", args=args, actor=actor),
    )


def label_answer(console: Console, uuid: str, detector: str, *, told: bool, truth: bool, drawn: bool) -> bool:
    """Keep what a person says of an answer beside what the detector said."""
    return act(
        console,
        "Kept. It counts from the next pass on.",
        lambda tx, actor: labels.put(
            tx, inference=uuid, detector=detector, told=told, truth=truth, drawn=drawn, actor=actor
        ),
    )


def pause_monitor(console: Console, monitor: str, *, enabled: bool) -> bool:
    """Pause a monitor or let it run again."""
    return act(
        console,
        "The monitor runs again." if enabled else "The monitor is paused. It looks at nothing until you resume it.",
        lambda tx, actor: monitors.pause(tx, monitor, enabled=enabled, actor=actor),
    )


def set_limit(
    console: Console, monitor: str, about: str, new: Threshold, *, revision: int, confirmed: bool, reason: str
) -> bool:
    """Hold a metric to another plain limit; `revision` is the one that was shown."""
    return act(
        console,
        "Saved. The new limit counts from the next look.",
        lambda tx, actor: limits.set_limit(
            tx, monitor, about, new, revision=revision, actor=actor, confirmed=confirmed, reason=reason
        ),
    )


def set_weight(console: Console, monitor: str, weight: float, *, revision: int) -> bool:
    """Give a statistical monitor another weight; `revision` is the one that was shown."""
    return act(
        console,
        "Saved. What is left of the budget is divided anew when the next epoch begins.",
        lambda tx, actor: limits.set_weight(tx, monitor, weight, revision=revision, actor=actor),
    )


def propose(console: Console, kind: str, reason: str, *, alert: str, dataset: str = "") -> bool:
    """Ask the retraining worker to propose something, because of an alert or without one; `dataset` is the digest of a
    locked one to retrain on."""

    def work(tx: Tx, actor: str) -> None:
        if not reason.strip():
            raise InvalidInput("A proposal needs a reason.", "Say in a sentence why.")
        args = {"kind": kind, "reason": reason.strip(), "alert": alert, "dataset": dataset}
        commands.ask(tx, "propose", owner="retrain", args=args, actor=actor)

    return act(console, "Asked. The proposal shows here within seconds.", work)


def ask_override(console: Console, version: str, report: str, reason: str) -> bool:
    """Ask that a version go live past its gate; `report` is the digest of the report that was shown."""

    def work(tx: Tx, actor: str) -> None:
        overrides.require_asked(tx, version, deployment=console.deployment, report=report, reason=reason)
        args = {"version": version, "report": report, "reason": reason.strip()}
        commands.ask(tx, "override", owner="retrain", args=args, actor=actor)

    return act(console, "Asked. The proposal shows here within seconds; another approver decides.", work)


def ask_again(console: Console, version: str, report: str, reason: str) -> bool:
    """Ask that the promotion of a version that its gate passed be proposed once more; `report` is what was shown."""

    def work(tx: Tx, actor: str) -> None:
        overrides.require_passed(tx, version, deployment=console.deployment, report=report)
        if not reason.strip():
            raise InvalidInput("A proposal needs a reason.", "Say in a sentence why.")
        args = {"version": version, "report": report, "reason": reason.strip()}
        commands.ask(tx, "promote_again", owner="retrain", args=args, actor=actor)

    return act(console, "Asked. The proposal shows here within seconds.", work)


def compare(console: Console, versions: Sequence[str]) -> bool:
    """Ask that versions be asked the same, side by side."""
    return act(
        console,
        "Asked. The table shows here when every version has answered.",
        lambda tx, actor: commands.ask(tx, "compare", owner="retrain", args={"versions": list(versions)}, actor=actor),
    )


def ask_monitors(console: Console, kind: str, args: Mapping[str, Any], done: str) -> bool:
    """Ask the monitors' process for a piece of work."""
    return act(console, done, lambda tx, actor: commands.ask(tx, kind, owner="monitors", args=args, actor=actor))


def ask_retrain(console: Console, kind: str, args: Mapping[str, Any], done: str) -> bool:
    """Ask the retraining worker for a piece of work."""
    return act(console, done, lambda tx, actor: commands.ask(tx, kind, owner="retrain", args=args, actor=actor))


def release_pair(console: Console, uuid: str, reason: str) -> bool:
    """Let a pair that was held train after all."""
    return act(
        console,
        "Released. It may train from now on.",
        lambda tx, actor: pairs.release(tx, uuid, actor=actor, reason=reason),
    )


def reject_pair(console: Console, uuid: str, reason: str) -> bool:
    """Keep a pair out of training."""
    return act(
        console, "Rejected. It never trains.", lambda tx, actor: pairs.reject(tx, uuid, actor=actor, reason=reason)
    )


def test_notice(console: Console, channel: str) -> bool:
    """Ask for a test notice through a channel."""
    return act(
        console,
        "Asked. The notice goes out within seconds.",
        lambda tx, actor: commands.ask(tx, "test_notice", owner="monitors", args={"channel": channel}, actor=actor),
    )


def set_params(console: Console, monitor: str, params: Mapping[str, Any], *, revision: int) -> bool:
    """Give a monitor other parameters; `revision` is the one that was shown."""
    return act(
        console,
        "Saved. The next look uses it.",
        lambda tx, actor: monitors.edit(tx, monitor, revision=revision, actor=actor, params=dict(params)),
    )


def queue_exchanges(console: Console, uuids: Sequence[str]) -> bool:
    """Let exchanges wait to be labelled."""
    return act(console, "They wait to be labelled.", lambda tx, actor: labelling.mark(tx, uuids, "label", actor=actor))


def unqueue_exchange(console: Console, uuid: str) -> bool:
    """Take an exchange off the queue."""
    return act(console, "It no longer waits.", lambda tx, actor: labelling.unmark(tx, uuid, "label", actor=actor))


def exclude_exchanges(console: Console, uuids: Sequence[str], reason: str) -> bool:
    """Leave exchanges out of the references taken from now on."""
    return act(
        console,
        "It counts in no reference that is taken from now on.",
        lambda tx, actor: labelling.mark(tx, uuids, "exclude", actor=actor, reason=reason),
    )


def include_exchange(console: Console, uuid: str) -> bool:
    """Let an exchange count in references again."""
    return act(
        console,
        "It counts in references again.",
        lambda tx, actor: labelling.unmark(tx, uuid, "exclude", actor=actor),
    )


def prefer_answer(console: Console, uuid: str, *, chosen: str, rejected: str) -> bool:
    """Keep which of two answers is better."""
    return act(
        console,
        "Kept as a preference. It becomes a pair once it has passed the checks.",
        lambda tx, actor: labelling.prefer(tx, uuid, chosen=chosen, rejected=rejected, actor=actor),
    )


def correct_answer(console: Console, uuid: str, better: str) -> bool:
    """Keep a better answer than the captured one."""
    return act(
        console,
        "Kept as a preference. It becomes a pair once it has passed the checks.",
        lambda tx, actor: labelling.correct(tx, uuid, better=better, actor=actor),
    )
