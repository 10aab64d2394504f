"""What is in production: an append-only list of deployments, and one route a deployment changed by compare-and-set."""

from __future__ import annotations

import uuid as uuids
from datetime import timedelta
from types import MappingProxyType

import sqlalchemy as sa

from core.errors import Conflict, IllegalMove, InvalidInput, NotFound
from core.segments import split
from core.states import DECISION, DEPLOYMENT
from store import prints
from store.segments import within
from store.tables import decisions, deployments, routes, versions
from store.unit_of_work import Tx

SECOND_CLICK = timedelta(seconds=10)
NO_TRIAL = MappingProxyType({"trial": "", "candidate": "", "share": 0, "salt": ""})


def install(tx: Tx, deployment: str, version_name: str, *, actor: str) -> str:
    """Make `version_name` the first live version of `deployment` and return the row's uuid.

    Doing it again for the version that is live changes nothing; raises Conflict when another one is.
    """
    route = current(tx, deployment)
    if route is not None:
        if route["version"] == version_name:
            return str(find(tx, route["deployment_id"])["uuid"])
        raise Conflict(
            f"{deployment} already serves {route['version']}.", "Promote another version, or roll back, instead."
        )
    version_id = _version_id(tx, version_name)
    uuid = str(uuids.uuid4())
    id = tx.insert(
        deployments,
        uuid=uuid,
        deployment=deployment,
        version_id=version_id,
        kind="install",
        state="requested",
        generation=1,
        actor=actor,
        reason="First version of this installation.",
        requested_at=tx.now,
    )
    tx.move(deployments, DEPLOYMENT, id, "live", live_at=tx.now)
    tx.insert_once(
        routes, deployment=deployment, deployment_id=id, version=version_name, generation=1, changed_at=tx.now
    )
    tx.audit(actor, "deployment.installed", uuid, {"deployment": deployment, "version": version_name})
    return uuid


def current(tx: Tx, deployment: str) -> sa.RowMapping | None:
    """The route of `deployment` (version, previous, generation, deployment_id, changed_at), or None before any."""
    return tx.one(sa.select(routes).where(routes.c.deployment == deployment))


def history(tx: Tx, deployment: str) -> list[sa.RowMapping]:
    """Every deployment of `deployment`, oldest first, each with the `version` name."""
    return tx.all(_WITH_VERSION.where(deployments.c.deployment == deployment).order_by(deployments.c.id))


def requested(tx: Tx, deployment: str | None = None) -> list[sa.RowMapping]:
    """Deployments that wait to be carried out, oldest first, each with the `version` name.

    A `deployment` stands for its segments too.
    """
    query = _WITH_VERSION.where(deployments.c.state == "requested").order_by(deployments.c.id)
    return tx.all(query if deployment is None else query.where(within(deployments.c.deployment, deployment)))


def is_requested(tx: Tx, id: int) -> bool:
    """Whether row `id` still waits to be carried out. Its route is locked, so that this holds for the transaction."""
    lock(tx, find(tx, id)["deployment"])
    return bool(tx.scalar(sa.select(deployments.c.state).where(deployments.c.id == id)) == "requested")


def delay(tx: Tx, id: int, message: str) -> None:
    """Record why row `id` cannot be carried out yet."""
    waits = deployments.c.id == id, deployments.c.state == "requested"
    tx.execute(sa.update(deployments).where(*waits).values(message=message))


def unverified(tx: Tx) -> list[sa.RowMapping]:
    """Live deployments whose fingerprint was not proved yet, each with the `version` name."""
    waiting = deployments.c.state == "live", deployments.c.verified_at.is_(None)
    return tx.all(_WITH_VERSION.where(*waiting).order_by(deployments.c.id))


def earlier(tx: Tx, deployment: str) -> list[sa.RowMapping]:
    """Versions that `deployment` served before the present one, latest first, without repeats: rollback targets.

    For a segment also those that serve or served everybody, after its own.
    """
    route = current(tx, deployment)
    if route is None:
        return []
    unlike: dict[str, sa.RowMapping] = {}
    for name in dict.fromkeys((deployment, split(deployment)[0])):
        rows = tx.all(
            _WITH_VERSION.where(
                deployments.c.deployment == name,
                deployments.c.live_at.is_not(None),
                versions.c.name != route["version"],
            ).order_by(deployments.c.id.desc())
        )
        for row in rows:
            unlike.setdefault(row["version"], row)
    return list(unlike.values())


def request_promotion(
    tx: Tx,
    deployment: str,
    version_name: str,
    *,
    actor: str,
    reason: str,
    decision_id: int | None = None,
    share: int = 0,
    shadow: int = 0,
    hold: bool = False,
) -> str:
    """Ask that `version_name` follow the version that is live now; returns the row's uuid.

    With a `share` in percent it gets only that much of the traffic until its canary is judged, with `shadow` first so
    many copied requests whose answers nobody sees. With `hold` the trial is held from its start, for its numbers to be
    compared and a person to decide. The row names the generation it will make: if production moves first, the promotion
    is not carried out. Raises Conflict while another promotion is on trial.
    """
    route = lock(tx, deployment)
    if route["version"] == version_name:
        raise Conflict(f"{version_name} is already live.", "Nothing needs to be done.")
    if route["trial"]:
        raise Conflict(
            f"{route['candidate']} is on trial now ({route['trial']}).", "Promote it to all or abort it first."
        )
    if not 0 <= share < 100 or shadow < 0:
        raise InvalidInput(f"A canary cannot get {share} % of the traffic.", "Give 1 to 99, or 0 for all at once.")
    uuid = str(uuids.uuid4())
    tx.insert(
        deployments,
        uuid=uuid,
        deployment=deployment,
        version_id=_version_id(tx, version_name),
        kind="promote",
        state="requested",
        generation=int(route["generation"]) + 1,
        previous_id=route["deployment_id"],
        decision_id=decision_id,
        actor=actor,
        reason=reason,
        requested_at=tx.now,
        share=share,
        shadow=shadow,
        held_by=actor if hold else "",
    )
    body = {
        "deployment": deployment,
        "version": version_name,
        "generation": int(route["generation"]) + 1,
        "share": share or 100,
        "shadow": shadow,
        **({"held": True} if hold else {}),
    }
    tx.audit(actor, "deployment.requested", uuid, body)
    return uuid


def flip(tx: Tx, id: int, *, actor: str, fingerprint: str = "", ending: str = "superseded") -> None:
    """Move row `id`, requested or on trial, to live and its deployment's route to it, both or neither.

    The route moves by compare-and-set on the generation before; raises Conflict when production moved meanwhile.
    The old live row becomes `ending` (superseded, or reverted by a rollback). A decision it came from is executed.
    A rollback also ends whatever is on trial; a promotion gives way to another one's trial.
    """
    row = find(tx, id)
    DEPLOYMENT.require(row["state"], "live")
    route = lock(tx, row["deployment"])
    moved = tx.execute(
        sa.update(routes)
        .where(routes.c.deployment == row["deployment"], routes.c.generation == row["generation"] - 1)
        .where(sa.true() if row["kind"] == "rollback" else routes.c.salt.in_(("", row["uuid"])))
        .values(
            deployment_id=id,
            version=row["version"],
            generation=row["generation"],
            changed_at=tx.now,
            **NO_TRIAL,
        )
    )
    if moved.rowcount != 1:
        raise Conflict("Production moved on since this was asked for.", "Look at what is live now, then decide again.")
    if row["state"] == "requested":
        end_trial(tx, row["deployment"], f"{row['version']} went live instead.", actor=actor)
    tx.move(deployments, DEPLOYMENT, route["deployment_id"], ending, ended_at=tx.now)
    proved = {"fingerprint": fingerprint} if fingerprint else {}
    tx.move(deployments, DEPLOYMENT, id, "live", live_at=tx.now, message="", **proved)
    before = _before(tx, row["deployment"], row["version"])
    tx.execute(sa.update(routes).where(routes.c.deployment == row["deployment"]).values(previous=before))
    if row["decision_id"] is not None:
        tx.move(decisions, DECISION, row["decision_id"], "executed")
    body = {
        "deployment": row["deployment"],
        "version": row["version"],
        "generation": int(row["generation"]),
        "before": route["version"],
        "kind": row["kind"],
    }
    tx.audit(actor, "deployment.live", row["uuid"], body)


def roll_back(
    tx: Tx,
    deployment: str,
    *,
    actor: str,
    reason: str,
    to: str = "",
    away_from: str = "",
    decision_id: int | None = None,
) -> str:
    """Point `deployment` at an earlier version at once (empty `to`: the one before) and return the row's uuid.

    Answers follow within the gateway's poll; the fingerprint proof comes after. `away_from` is the version that was
    seen live: a second click then changes nothing more. Raises Conflict when it is no longer live or there is none to
    go back to, NotFound when `to` never served.
    """
    route = lock(tx, deployment)
    _refuse_second(tx, route, away_from, to)
    target = _target(tx, deployment, route["version"], route["previous"], to)
    uuid = str(uuids.uuid4())
    id = tx.insert(
        deployments,
        uuid=uuid,
        deployment=deployment,
        version_id=_version_id(tx, target),
        kind="rollback",
        state="requested",
        generation=int(route["generation"]) + 1,
        previous_id=route["deployment_id"],
        decision_id=decision_id,
        actor=actor,
        reason=reason,
        requested_at=tx.now,
    )
    flip(tx, id, actor=actor, ending="reverted")
    return uuid


def enter_rollback(tx: Tx, deployment: str, *, to: str, generation: int, actor: str, reason: str, at: str) -> str:
    """Enter what the gateway's local pointer did at `at` (ISO 8601), while the store was away; returns the row's uuid.

    Production takes the pointer's `generation`, which must be above the route's, and is proved anew. Raises NotFound
    when `to` never served, Conflict when the store has moved on since.
    """
    route = lock(tx, deployment)
    if generation <= int(route["generation"]):
        raise Conflict("Production moved on since this rollback.", "Look at what is live now.")
    # Away and back again: the version is the one the store knows, but the gateway stands at a later generation.
    if to != route["version"]:
        roll_back(tx, deployment, actor=actor, reason=reason, to=to)
    else:
        end_trial(tx, deployment, f"{to} was pointed to while the database was away.", actor=actor)
        tx.execute(sa.update(routes).where(routes.c.deployment == deployment).values(**NO_TRIAL))
    live = deployments.c.id == lock(tx, deployment)["deployment_id"]
    tx.execute(sa.update(deployments).where(live).values(generation=generation, verified_at=None))
    tx.execute(sa.update(routes).where(routes.c.deployment == deployment).values(generation=generation))
    uuid = str(tx.scalar(sa.select(deployments.c.uuid).where(live)))
    body = {"deployment": deployment, "version": to, "generation": generation, "reason": reason, "at": at}
    tx.audit(actor, "deployment.pointed", uuid, body)
    return uuid


def verify(tx: Tx, id: int, fingerprint: str, *, actor: str) -> bool:
    """Record what was seen answering for the live row `id`; returns whether it is a fingerprint of its version."""
    row = find(tx, id)
    if not prints.knows(tx, row["version_id"], fingerprint):
        return False
    values = {"verified_at": tx.now, "fingerprint": fingerprint, "message": ""}
    still = deployments.c.id == id, deployments.c.state == "live", deployments.c.verified_at.is_(None)
    if tx.execute(sa.update(deployments).where(*still).values(**values)).rowcount == 1:
        tx.audit(actor, "deployment.verified", row["uuid"], {"version": row["version"], "fingerprint": fingerprint})
    return True


def doubt(tx: Tx, id: int, message: str, *, actor: str) -> None:
    """Record that the live row `id` could not be proved: `message` says what answered instead."""
    row = find(tx, id)
    tx.execute(sa.update(deployments).where(deployments.c.id == id).values(message=message))
    tx.audit(actor, "deployment.doubted", row["uuid"], {"version": row["version"], "message": message})


def fail(tx: Tx, id: int, message: str, *, actor: str, event: str = "deployment.failed") -> None:
    """End a deployment that does not go live, requested or on trial; what serves goes on serving everything.

    Raises IllegalMove for one that is live: the route would stay on a row that has ended, and no way would lead back.
    """
    row = find(tx, id)
    lock(tx, row["deployment"])
    if tx.scalar(sa.select(deployments.c.state).where(deployments.c.id == id)) == "live":
        raise IllegalMove("A deployment that is live cannot fail.", "Roll back instead.")
    tx.execute(sa.update(routes).where(routes.c.salt == row["uuid"]).values(**NO_TRIAL))
    tx.move(deployments, DEPLOYMENT, id, "reverted", ended_at=tx.now, message=message)
    if row["decision_id"] is not None:
        tx.move(decisions, DECISION, row["decision_id"], "superseded", comment=message)
    tx.audit(actor, event, row["uuid"], {"version": row["version"], "message": message})


_WITH_VERSION = sa.select(deployments, versions.c.name.label("version"), versions.c.path).join(
    versions, versions.c.id == deployments.c.version_id
)


def find(tx: Tx, id: int) -> sa.RowMapping:
    """The deployment `id` with its `version` name. Raises NotFound."""
    row = tx.one(_WITH_VERSION.where(deployments.c.id == id))
    if row is None:
        raise NotFound("There is no such deployment.", "Reload the Models page.")
    return row


def lock(tx: Tx, deployment: str) -> sa.RowMapping:
    """The route of `deployment`, locked until the transaction ends: every change of production begins with this."""
    route = tx.one(sa.select(routes).where(routes.c.deployment == deployment).with_for_update())
    if route is None:
        if (segment := split(deployment)[1]) is not None:
            raise NotFound(f"{segment} has no version of its own.", "It is answered as everybody: roll back for all.")
        raise NotFound(f"Nothing is deployed as {deployment} yet.", "Start Trimtab once: trimtab up.")
    return route


def end_trial(tx: Tx, deployment: str, message: str, *, actor: str, asked: bool = False) -> None:
    """End whatever is on trial in `deployment`, and what was `asked` for; what serves goes on serving everything."""
    states = ("shadow", "canary", *(["requested"] if asked else []))
    ending = deployments.c.deployment == deployment, deployments.c.state.in_(states)
    for row in tx.all(sa.select(deployments.c.id).where(*ending)):
        fail(tx, row["id"], message, actor=actor, event="deployment.aborted")


def _before(tx: Tx, deployment: str, live: str) -> str:
    """The version a rollback goes to: the latest that was followed in good order and not reverted since."""
    ended = deployments.c.deployment == deployment, deployments.c.live_at.is_not(None), versions.c.name != live
    last: dict[str, str] = {}
    for row in tx.all(_WITH_VERSION.where(*ended).order_by(deployments.c.generation.desc(), deployments.c.id.desc())):
        last.setdefault(row["version"], row["state"])
    return next((version for version, state in last.items() if state == "superseded"), "")


def _refuse_second(tx: Tx, route: sa.RowMapping, away_from: str, to: str) -> None:
    live = str(route["version"])
    if away_from and away_from != live:
        raise Conflict(f"{away_from} is no longer live: {live} is.", "Look at what is live now, then decide again.")
    if away_from or to:
        return
    kind = tx.scalar(sa.select(deployments.c.kind).where(deployments.c.id == route["deployment_id"]))
    # Two people on one button must not go back two versions.
    if kind == "rollback" and tx.now - route["changed_at"] < SECOND_CLICK:
        raise Conflict(f"A rollback to {live} has just gone live.", "Name a version to go back further.")


def _target(tx: Tx, deployment: str, live: str, previous: str, to: str) -> str:
    wanted = to or previous
    if not wanted or wanted == live:
        raise Conflict(f"There is no earlier version than {live} to go back to.", "Name one that served before.")
    if wanted not in {row["version"] for row in earlier(tx, deployment)}:
        raise NotFound(f"{wanted} never served {deployment}.", "Roll back to a version that served before.")
    return wanted


def _version_id(tx: Tx, name: str) -> int:
    id = tx.scalar(sa.select(versions.c.id).where(versions.c.name == name))
    if id is None:
        raise NotFound(f"There is no version {name}.", "See the Models page for those there are.")
    return int(id)
