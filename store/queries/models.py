"""What the Models page shows: the registry, the gate of a candidate, its lineage, and the history of releases."""

from __future__ import annotations

import sqlalchemy as sa

from store.queries.runs import APPROVED_WITH
from store.segments import within
from store.tables import decisions, deployments, gate_reports, routes, runs, versions
from store.unit_of_work import Tx

_SERVED = (
    sa.exists()
    .where(deployments.c.version_id == versions.c.id, deployments.c.live_at.is_not(None))
    .correlate(versions)
    .label("served")
)


def registry(tx: Tx, limit: int = 50) -> list[sa.RowMapping]:
    """Versions, newest first, each with the verdict of its newest gate report (or None), its run's uuid, and whether it
    ever served."""
    newest = (
        sa.select(gate_reports.c.version_id, sa.func.max(gate_reports.c.id).label("id"))
        .group_by(gate_reports.c.version_id)
        .subquery()
    )
    report = gate_reports.alias("report")
    return tx.all(
        sa.select(versions, report.c.verdict, runs.c.uuid.label("run_uuid"), _SERVED)
        .outerjoin(newest, newest.c.version_id == versions.c.id)
        .outerjoin(report, report.c.id == newest.c.id)
        .outerjoin(runs, runs.c.id == versions.c.run_id)
        .order_by(versions.c.id.desc())
        .limit(limit)
    )


def one(tx: Tx, name: str) -> sa.RowMapping | None:
    """The version called `name` with its run's uuid and whether it ever served, or None."""
    return tx.one(
        sa.select(versions, runs.c.uuid.label("run_uuid"), _SERVED)
        .outerjoin(runs, runs.c.id == versions.c.run_id)
        .where(versions.c.name == name)
    )


def gate(tx: Tx, version_id: int) -> sa.RowMapping | None:
    """The newest gate report of a version, or None."""
    query = sa.select(gate_reports).where(gate_reports.c.version_id == version_id)
    return tx.one(query.order_by(gate_reports.c.id.desc()).limit(1))


def route(tx: Tx, deployment: str) -> sa.RowMapping | None:
    """What `deployment` serves now, with when it was proved, or None before the first release."""
    columns = [deployments.c[name] for name in ("uuid", "verified_at", "fingerprint", "message", "live_at", "kind")]
    return tx.one(
        sa.select(routes, *columns)
        .join(deployments, deployments.c.id == routes.c.deployment_id)
        .where(routes.c.deployment == deployment)
    )


def history(tx: Tx, deployment: str, limit: int = 30) -> list[sa.RowMapping]:
    """Releases of `deployment` and of its segments, newest first, each with its version's name."""
    return tx.all(
        sa.select(deployments, versions.c.name.label("version"))
        .join(versions, versions.c.id == deployments.c.version_id)
        .where(within(deployments.c.deployment, deployment))
        .order_by(deployments.c.id.desc())
        .limit(limit)
    )


def proposal(tx: Tx, version: str) -> sa.RowMapping | None:
    """The promotion of `version` that waits or waited last, with what it was `approved_with`, or None."""
    query = sa.select(decisions, APPROVED_WITH).where(decisions.c.kind == "promote", decisions.c.subject == version)
    return tx.one(query.order_by(decisions.c.id.desc()).limit(1))


def lineage(tx: Tx, name: str, limit: int = 20) -> list[sa.RowMapping]:
    """The version and those it was trained from, itself first."""
    chain: list[sa.RowMapping] = []
    while name and len(chain) < limit:
        row = one(tx, name)
        if row is None or any(seen["name"] == name for seen in chain):
            break
        chain.append(row)
        name = row["parent"] or (row["base"] if row["base"] != name else "")
    return chain
