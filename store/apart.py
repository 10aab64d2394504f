"""A segment's own champion: set apart from everybody, released like any deployment, and joined again at its end."""

from __future__ import annotations

import uuid as uuids
from typing import Any

import sqlalchemy as sa

from core.segments import MARK, Segment, deployment_of, split
from core.states import DEPLOYMENT
from store import deployments as releases
from store import segments
from store.tables import deployments, routes
from store.unit_of_work import Tx


def set_apart(tx: Tx, base: str, segment: Segment, *, actor: str) -> str:
    """Give `segment` a route of its own that answers as everybody is answered, and return its deployment's name.

    One that has a route keeps it. Generations go on from where they ended, so that no old pointer reaches a new route.
    Raises NotFound before `base` serves, InvalidInput for a segment that cannot be kept.
    """
    name = deployment_of(base, segment)
    everybody = releases.lock(tx, base)
    if releases.current(tx, name) is not None:
        return name
    last = tx.scalar(sa.select(sa.func.max(deployments.c.generation)).where(deployments.c.deployment == name))
    generation, uuid = int(last or 0) + 1, str(uuids.uuid4())
    version = tx.scalar(sa.select(deployments.c.version_id).where(deployments.c.id == everybody["deployment_id"]))
    id = tx.insert(
        deployments,
        uuid=uuid,
        deployment=name,
        version_id=version,
        kind="install",
        state="requested",
        generation=generation,
        actor=actor,
        reason="Set apart with what answers everybody.",
        requested_at=tx.now,
    )
    tx.move(deployments, DEPLOYMENT, id, "live", live_at=tx.now)
    made = {"deployment": name, "version": everybody["version"], "generation": generation}
    tx.insert(routes, **made, deployment_id=id, changed_at=tx.now)
    tx.audit(actor, "deployment.apart", uuid, made)
    return name


def request(tx: Tx, base: str, segment: Segment, version: str, **how: Any) -> str:
    """Ask that `version` answer `segment` alone, as `deployments.request_promotion` does for everybody (`how`).

    Returns the row's uuid. Raises InvalidInput for a segment that no request carried lately, and names those there are.
    """
    segments.require_seen(tx, base, segment)
    return releases.request_promotion(tx, set_apart(tx, base, segment, actor=how["actor"]), version, **how)


def ended(tx: Tx) -> list[str]:
    """The deployments of segments that have no version of their own any more.

    Nothing is on trial or asked for there, and what answers is either proved by its fingerprint to be what answers
    everybody, or still what the segment was set apart with.
    """
    live = sa.select(routes, deployments.c.kind, deployments.c.verified_at)
    rows = {
        row["deployment"]: row for row in tx.all(live.join(deployments, deployments.c.id == routes.c.deployment_id))
    }
    apart = {name: row for name, row in rows.items() if MARK in name and not row["trial"]}
    if not apart:
        return []
    asked = {row["deployment"] for row in releases.requested(tx)}
    return [name for name, row in apart.items() if name not in asked and _is_over(row, rows.get(split(name)[0]))]


def join(tx: Tx, name: str, *, actor: str) -> bool:
    """End the segment of the deployment `name` if it is at its end: its people get what everybody gets from then on."""
    route = releases.lock(tx, name)
    if name not in ended(tx):
        return False
    tx.execute(sa.delete(routes).where(routes.c.deployment == name))
    tx.move(deployments, DEPLOYMENT, route["deployment_id"], "superseded", ended_at=tx.now)
    uuid = tx.scalar(sa.select(deployments.c.uuid).where(deployments.c.id == route["deployment_id"]))
    tx.audit(actor, "deployment.joined", uuid, {"deployment": name, "version": route["version"]})
    return True


def roll_back_all(tx: Tx, base: str, *, to: str, actor: str, reason: str) -> list[str]:
    """Send every segment of `base` to the version `to`, ending what is on trial or asked for there; returns their
    deployments."""
    moved = []
    for row in segments.own(tx, base):
        name = str(row["deployment"])
        if row["version"] == to:
            # Where production moves, what was asked for before falls by its generation.
            releases.end_trial(tx, name, "Everybody was rolled back.", actor=actor, asked=True)
        else:
            releases.roll_back(tx, name, actor=actor, reason=reason, to=to)
        moved.append(name)
    return moved


def _is_over(row: sa.RowMapping, everybody: sa.RowMapping | None) -> bool:
    if everybody is None:
        return False
    same = row["version"] == everybody["version"] and row["verified_at"] is not None
    return bool(same or row["kind"] == "install")
