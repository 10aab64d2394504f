"""What the frame of every page and the overview say: what serves, what waits for a person, what is being watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.rules import limits
from store import heartbeats
from store.tables import (
    alerts,
    decisions,
    deployments,
    epochs,
    inferences,
    measurements,
    monitors,
    routes,
    runs,
    versions,
)
from store.unit_of_work import Tx

TRAFFIC = ("live", "import")
POINTS = 40


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page shows at its top. `proposed` waits for an answer; `untaken` counts alerts that nobody took."""

    route: sa.RowMapping | None
    verified: bool
    last_sample_at: datetime | None
    firing: int
    pending: int
    untaken: int
    proposed: Sequence[sa.RowMapping]
    watched: int
    running: int
    processes: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Tile:
    """A monitor with its latest measurement and the recent ones, oldest first, and whether an alert of its rule fires:
    a part of it may be past its limit, and what it measures anew may be too little to tell."""

    monitor: sa.RowMapping
    latest: sa.RowMapping | None
    recent: Sequence[sa.RowMapping]
    firing: bool = False


def frame(tx: Tx, deployment: str, now: datetime) -> Frame:
    """The state of the installation in a few counts."""
    route = tx.one(
        sa.select(routes, deployments.c.verified_at)
        .join(deployments, deployments.c.id == routes.c.deployment_id)
        .where(routes.c.deployment == deployment)
    )
    states = {
        row["state"]: row["count"]
        for row in tx.all(
            sa.select(alerts.c.state, sa.func.count().label("count"))
            .where(alerts.c.state.in_(("pending", "firing")))
            .group_by(alerts.c.state)
        )
    }
    untaken = sa.select(sa.func.count()).where(alerts.c.state == "firing", alerts.c.acknowledged_at.is_(None))
    return Frame(
        route=route,
        verified=route is not None and route["verified_at"] is not None,
        last_sample_at=last_sample_at(tx),
        firing=states.get("firing", 0),
        pending=states.get("pending", 0),
        untaken=int(tx.scalar(untaken)),
        proposed=tx.all(_proposed(now, decisions.c.kind, decisions.c.proposer, decisions.c.body)),
        watched=int(tx.scalar(sa.select(sa.func.count()).where(monitors.c.enabled))),
        running=int(tx.scalar(sa.select(sa.func.count()).where(runs.c.state == "running"))),
        processes=heartbeats.ages(tx),
    )


def last_sample_at(tx: Tx) -> datetime | None:
    """When the newest exchange of real traffic was captured."""
    found = [
        tx.scalar(sa.select(inferences.c.at).where(inferences.c.kind == kind).order_by(inferences.c.id.desc()).limit(1))
        for kind in TRAFFIC
    ]
    return max((at for at in found if at is not None), default=None)


def waiting(tx: Tx, now: datetime, limit: int = 20) -> tuple[list[sa.RowMapping], list[sa.RowMapping]]:
    """Every proposal that waits for an answer, and the newest firing alerts that nobody has taken; newest first."""
    untaken = (
        sa.select(alerts)
        .where(alerts.c.state == "firing", alerts.c.acknowledged_at.is_(None))
        .order_by(alerts.c.id.desc())
        .limit(limit)
    )
    return tx.all(_proposed(now, decisions).order_by(decisions.c.id.desc())), tx.all(untaken)


def tiles(tx: Tx) -> list[Tile]:
    """Every monitor with its recent measurements of its main metric, by name."""
    loud = _firing(tx)
    return [_tile(tx, monitor, loud) for monitor in tx.all(sa.select(monitors).order_by(monitors.c.name))]


def tile(tx: Tx, monitor: sa.RowMapping) -> Tile:
    """One monitor's tile. Its main metric is the one it is named for, or else the first that has a limit."""
    return _tile(tx, monitor, _firing(tx))


def _firing(tx: Tx) -> set[int]:
    """The monitors whose rule has an alert that fires, by key."""
    rows = tx.all(sa.select(alerts.c.monitor_id).where(alerts.c.state == "firing", alerts.c.kind == "rule"))
    return {row["monitor_id"] for row in rows}


def _tile(tx: Tx, monitor: sa.RowMapping, loud: set[int], points: int = POINTS) -> Tile:
    newest = measurements.c.monitor_id == monitor["id"], measurements.c.segment == ""
    rows = tx.all(_narrow().where(*newest).order_by(measurements.c.id.desc()).limit(points * 3))
    names = [row["metric"] for row in rows]
    limited = [limit["metric"] for limit in limits(monitor["rule"], monitor["metric"])]
    main = next((name for name in (monitor["metric"], *limited, *sorted(names)) if name in names), "")
    recent = [row for row in rows if row["metric"] == main][:points]
    return Tile(monitor, recent[0] if recent else None, recent[::-1], monitor["id"] in loud)


def timeline(tx: Tx, since: datetime) -> tuple[list[sa.RowMapping], list[sa.RowMapping]]:
    """Alerts that fired or were open since `since`, and releases made since; both oldest first."""
    lasting = sa.or_(alerts.c.resolved_at.is_(None), alerts.c.resolved_at >= since)
    shown = (
        sa.select(
            alerts.c.uuid,
            alerts.c.monitor,
            alerts.c.kind,
            alerts.c.state,
            alerts.c.pending_since,
            alerts.c.fired_at,
            alerts.c.resolved_at,
        )
        .where(alerts.c.fired_at.is_not(None), lasting)
        .order_by(alerts.c.id.desc())
        .limit(200)
    )
    made = (
        sa.select(deployments.c.kind, deployments.c.live_at, versions.c.name.label("version"))
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(deployments.c.live_at >= since)
        .order_by(deployments.c.id.desc())
        .limit(100)
    )
    return tx.all(shown)[::-1], tx.all(made)[::-1]


def first_event_at(tx: Tx) -> datetime | None:
    """When the first measurement was made, for pages that show all there is."""
    found: datetime | None = tx.scalar(sa.select(measurements.c.at).order_by(measurements.c.id).limit(1))
    return found


def budget(tx: Tx, since: datetime) -> tuple[float, int, int]:
    """False-alarm probability given out to epochs begun since `since`, their number, and how many alarmed."""
    row = tx.one(
        sa.select(
            sa.func.coalesce(sa.func.sum(epochs.c.alpha), 0.0).label("spent"),
            sa.func.count().label("epochs"),
            sa.func.count(epochs.c.alarmed_at).label("alarms"),
        ).where(epochs.c.started_at >= since, epochs.c.alpha > 0)
    )
    assert row is not None
    return float(row["spent"]), int(row["epochs"]), int(row["alarms"])


def _narrow() -> sa.Select[Any]:
    return sa.select(*[column for column in measurements.c if column.name != "details"])


def _proposed(now: datetime, *what: Any) -> sa.Select[Any]:
    return sa.select(*what).where(decisions.c.state == "proposed", decisions.c.expires_at > now)
