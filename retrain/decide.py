"""From a firing alert to a proposal with its reason, or to a comment that says why nothing is proposed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from core.errors import Conflict, InvalidInput, Unavailable
from core.policy import Proposal, Situation, propose
from core.roles import Action
from core.settings import Settings
from retrain import advice, cost, proposals
from store import accounts, datasets, decisions, deployments, overrides, pairs, situations, versions
from store.unit_of_work import Tx

ACTOR, GATE = "system:policy", "system:gate"
# A release is recent while it has given at most this many answers.
SETTLED_ANSWERS = 500
_LOOKED_AT = 200
CANNOT_SERVE_ADAPTERS = frozenset({"openai_compatible"})
SERVES_WHOLE = frozenset({"transformers_local"})


def is_due(tx: Tx, settings: Settings) -> bool:
    """Whether `decide` would change anything, by reading alone."""
    return decisions.any_due(tx) or any(not _is_settled(tx, settings, alert) for alert in situations.undecided(tx))


def decide(tx: Tx, settings: Settings, *, failed: Callable[[Exception], None] | None = None) -> list[str]:
    """Let proposals expire, and look at each firing rule alert that led to none; returns a line for what follows.

    `failed` hears why nothing can be proposed for an alert now, such as where the model cannot be read; without it that
    is raised. The others are looked at all the same.
    """
    decisions.expire_due(tx)
    said = []
    for alert in situations.undecided(tx):
        try:
            with tx.attempt():
                line = _decide(tx, settings, alert)
        except Unavailable:
            raise
        except Exception as error:
            if failed is None:
                raise
            error.add_note(f"while a proposal was sought for the alert of {alert['monitor']}")
            failed(error)
            continue
        if line:
            said.append(line)
    return said


def ask(tx: Tx, settings: Settings, *, kind: str, actor: str, reason: str, alert: str = "", dataset: str = "") -> str:
    """Propose what a person asks for; returns the decision's uuid, that of an equal one that waits included.

    `dataset` is the digest of a locked one to train on, instead of a new draw. It is held to what the policy is held
    to: raises Conflict without a version to go back to, with too few approved pairs, for a dataset that has aged, or
    for a server that cannot load what is trained; InvalidInput without a reason; Forbidden, NotFound.
    """
    reason = reason.strip()
    if not reason:
        raise InvalidInput("A proposal needs a reason.", "Say in a sentence why.")
    row = situations.alert(tx, alert) if alert else None
    route = deployments.current(tx, settings.deployment)
    if route is None:
        raise Conflict(f"Nothing is deployed as {settings.deployment} yet.", "Start Trimtab once: trimtab up.")
    if kind not in ("retrain", "rollback"):
        raise InvalidInput(f"A person cannot propose {kind}.", "Propose retrain or rollback.")
    if kind == "rollback" and not route["previous"]:
        raise Conflict("There is no earlier version to go back to.", "Propose retraining instead.")
    locked = _locked(tx, settings, dataset) if dataset and kind == "retrain" else None
    at_hand = locked["train_pairs"] + locked["held_out_pairs"] if locked else pairs.counts(tx)["approved"]
    missing = settings.retrain.minimum_pairs - at_hand
    if kind == "retrain" and missing > 0:
        raise Conflict(
            f"Retraining needs {missing} more approved preference pairs.", "Collect feedback or import pairs."
        )
    if kind == "retrain" and (trouble := _unserved(tx, settings, route["version"])):
        raise Conflict(trouble, "Retrain where it can be served.")
    return _propose(tx, settings, Proposal("retrain" if kind == "retrain" else "rollback", reason), row, actor, locked)


def ask_override(tx: Tx, settings: Settings, *, actor: str, version: str, report: str, reason: str) -> str:
    """Propose the promotion of `version` past a gate that did not pass it; returns the decision's uuid.

    `report` is the digest of the report that was shown. Raises what `overrides.require_asked` raises; Forbidden.
    """
    reason = reason.strip()
    overrides.require_asked(tx, version, deployment=settings.deployment, report=report, reason=reason)
    found = versions.latest_report(tx, version)
    assert found is not None
    run = versions.get(tx, version).run
    body = proposals.override(found, report, deployment=settings.deployment, run=run, reason=reason)
    return decisions.propose(
        tx,
        kind="promote",
        subject=version,
        proposer=actor,
        reason=body["reason"],
        body=body,
        expires_at=tx.now + timedelta(hours=settings.retrain.decision_hours),
    )


def ask_again(tx: Tx, settings: Settings, *, actor: str, version: str, report: str, reason: str) -> str:
    """Propose once more the promotion of `version`, which its gate passed; returns the decision's uuid.

    For a proposal that expired, was rejected or failed, and a trial that ended: with a larger share, say. It is the
    gate's proposal still, so that whoever asks may be the one who approves. Raises InvalidInput without a reason, what
    `overrides.require_passed` raises, and Forbidden.
    """
    accounts.require(tx, actor, Action.PROPOSE)
    reason = reason.strip()
    if not reason:
        raise InvalidInput("A proposal needs a reason.", "Say in a sentence why.")
    overrides.require_passed(tx, version, deployment=settings.deployment, report=report)
    found = versions.latest_report(tx, version)
    assert found is not None
    body = proposals.promotion(found, report, deployment=settings.deployment, run=versions.get(tx, version).run)
    body["reason"] = f"{body['reason']} Proposed again by {actor}: {reason}"
    return decisions.propose(
        tx,
        kind="promote",
        subject=version,
        proposer=GATE,
        reason=body["reason"],
        body=body,
        expires_at=tx.now + timedelta(hours=settings.retrain.decision_hours),
    )


def _unserved(tx: Tx, settings: Settings, champion: str) -> str:
    """Why what a run would train could not be served; empty where it can."""
    server, full = settings.gateway.server, settings.retrain.finetuning_type == "full"
    if server in CANNOT_SERVE_ADAPTERS:
        return f"The server {server} cannot load what is trained here."
    if full and server not in SERVES_WHOLE:
        return f"The server {server} cannot load a whole model while it runs: set retrain.finetuning_type to lora."
    if not full and versions.get(tx, champion).is_whole:
        return f"{champion} is a whole model, and no adapter is served on one: set retrain.finetuning_type to full."
    return ""


def _locked(tx: Tx, settings: Settings, digest: str) -> Mapping[Any, Any]:
    """The dataset, when a run may still train on it."""
    row = datasets.named(tx, digest)
    datasets.require_approved(tx, row["id"])
    if settings.retrain.trainer == "kto":
        raise Conflict("The trainer kto learns from thumbs, not from a dataset's pairs.", "Set retrain.trainer to dpo.")
    return row


def _is_settled(tx: Tx, settings: Settings, alert: Mapping[str, Any]) -> bool:
    """Whether there is nothing to do for the alert that was not done: a comment says so, once."""
    found = _weigh(tx, settings, alert)
    if found is None:
        return True
    told = found.kind == "none" or decisions.waits(tx, found.kind, settings.deployment)
    return told and situations.commented(tx, alert["id"], actor=ACTOR)


def _weigh(tx: Tx, settings: Settings, alert: Mapping[str, Any]) -> Proposal | None:
    """What the alert asks for; None before anything is deployed."""
    route = deployments.current(tx, settings.deployment)
    if route is None:
        return None
    # What was answered after the alarm was raised is no part of it, however late the policy looks.
    raised = alert["fired_at"] or tx.now
    answers = situations.answers_since(tx, settings.deployment, until=raised, most=SETTLED_ANSWERS + 1)
    situation = Situation(
        metric=alert["metric"],
        live_version=route["version"],
        previous_version=route["previous"],
        events_since_release=answers,
        settled_events=SETTLED_ANSWERS,
        approved_pairs=pairs.counts(tx)["approved"],
        minimum_pairs=settings.retrain.minimum_pairs,
        about_earlier=raised < route["changed_at"],
        asked_since_release=situations.asked_since(tx, settings.deployment, until=raised),
    )
    found = propose(situation)
    if found.kind == "retrain" and (trouble := _unserved(tx, settings, route["version"])):
        return Proposal("none", trouble)
    return found


def _decide(tx: Tx, settings: Settings, alert: Mapping[str, Any]) -> str:
    found = _weigh(tx, settings, alert)
    if found is None:
        return ""
    if found.kind == "none":
        said = situations.comment_once(tx, alert["id"], f"Nothing is proposed. {found.reason}", actor=ACTOR)
        return f"nothing proposed for {alert['monitor']}: {found.reason}" if said else ""
    uuid = _propose(tx, settings, found, alert, ACTOR)
    if decisions.get(tx, uuid)["alert_id"] == alert["id"]:
        return f"proposed {found.kind} for {alert['monitor']}: {found.reason}"
    waiting = f"A proposal to {found.kind.replace('rollback', 'roll back')} already waits for another alert."
    return waiting if situations.comment_once(tx, alert["id"], waiting, actor=ACTOR) else ""


def _propose(
    tx: Tx,
    settings: Settings,
    found: Proposal,
    alert: Mapping[str, Any] | None,
    actor: str,
    dataset: Mapping[Any, Any] | None = None,
) -> str:
    route = deployments.current(tx, settings.deployment)
    assert route is not None
    shown = {"uuid": alert["uuid"], "monitor": alert["monitor"], "summary": alert["summary"]} if alert else None
    if found.kind == "rollback":
        body = proposals.rollback(
            deployment=settings.deployment,
            live=route["version"],
            to=route["previous"],
            reason=found.reason,
            alert=shown,
        )
    else:
        champion = versions.get(tx, route["version"])
        body = proposals.retraining(
            settings.retrain,
            deployment=settings.deployment,
            base=champion.base,
            champion=champion.name,
            reason=found.reason,
            alert=shown,
            pairs=pairs.counts(tx),
            tokens_per_pair=cost.count_tokens(pairs.approved(tx, _LOOKED_AT)),
            throughput=situations.last_throughput(tx),
            around=situations.last_around(tx),
            gpu=cost.has_gpu(),
            parameters=cost.count_parameters(settings.chat_path) if settings.retrain.finetuning_type == "full" else 0,
            dataset=dataset,
        )
    waits = decisions.waits(tx, found.kind, settings.deployment)
    uuid = decisions.propose(
        tx,
        kind=found.kind,
        subject=settings.deployment,
        proposer=actor,
        reason=found.reason,
        body=body,
        alert_id=alert["id"] if alert else None,
        expires_at=tx.now + timedelta(hours=settings.retrain.decision_hours),
    )
    if found.kind == "retrain" and not waits:
        advice.ask(tx, uuid, settings)
    return uuid
