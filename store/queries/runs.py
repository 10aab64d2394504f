"""What the Runs page shows: proposals that wait, runs, and the progress of one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from store.tables import alerts, approvals, datasets, decisions, pairs, run_progress, runs
from store.unit_of_work import Tx

LIST = [column for column in runs.c if column.name not in ("spec", "forecast")]
# What a decision's approver said, None where nobody approved it. Its own comment says what came of it later.
APPROVED_WITH = (
    sa.select(approvals.c.comment)
    .where(approvals.c.decision_id == decisions.c.id)
    .correlate(decisions)
    .scalar_subquery()
    .label("approved_with")
)


def proposals(tx: Tx, *, kinds: tuple[str, ...], limit: int = 20) -> list[sa.RowMapping]:
    """Decisions of `kinds` that wait for an answer, newest first, each with what it was `approved_with`."""
    waiting = decisions.c.kind.in_(kinds), decisions.c.state == "proposed"
    return tx.all(sa.select(decisions, APPROVED_WITH).where(*waiting).order_by(decisions.c.id.desc()).limit(limit))


def decision(tx: Tx, uuid: str) -> sa.RowMapping | None:
    """The decision `uuid` with what it was `approved_with` and the uuids of its alert and its run, or None."""
    return tx.one(
        sa.select(decisions, APPROVED_WITH, alerts.c.uuid.label("alert_uuid"), runs.c.uuid.label("run_uuid"))
        .outerjoin(alerts, alerts.c.id == decisions.c.alert_id)
        .outerjoin(runs, runs.c.decision_id == decisions.c.id)
        .where(decisions.c.uuid == uuid)
    )


def decided(tx: Tx, *, kind: str, limit: int = 10) -> list[sa.RowMapping]:
    """Decisions of `kind` that were answered or ran out, newest first, without their bodies."""
    columns = [column for column in decisions.c if column.name != "body"]
    query = sa.select(*columns).where(decisions.c.kind == kind, decisions.c.state != "proposed")
    return tx.all(query.order_by(decisions.c.id.desc()).limit(limit))


def listed(tx: Tx, limit: int = 20, before: int | None = None) -> list[sa.RowMapping]:
    """Runs, newest first, from before key `before`."""
    query = sa.select(*LIST)
    if before is not None:
        query = query.where(runs.c.id < before)
    return tx.all(query.order_by(runs.c.id.desc()).limit(limit))


def one(tx: Tx, uuid: str) -> sa.RowMapping | None:
    """The run `uuid` with its decision's uuid and its dataset's counts, or None."""
    return tx.one(
        sa.select(
            runs,
            decisions.c.uuid.label("decision_uuid"),
            decisions.c.reason.label("why"),
            datasets.c.train_pairs,
            datasets.c.held_out_pairs,
            datasets.c.digest.label("dataset_digest"),
        )
        .outerjoin(decisions, decisions.c.id == runs.c.decision_id)
        .outerjoin(datasets, datasets.c.id == runs.c.dataset_id)
        .where(runs.c.uuid == uuid)
    )


def progress(tx: Tx, run_id: int, *, limit: int = 4000) -> list[dict[str, Any]]:
    """The run's progress lines in order, each the event's values with `line` and `at`."""
    query = sa.select(run_progress.c.line, run_progress.c.at, run_progress.c.data)
    rows = tx.all(query.where(run_progress.c.run_id == run_id).order_by(run_progress.c.line).limit(limit))
    return [{**row["data"], "line": row["line"], "at": row["at"]} for row in rows]


def pair_counts(tx: Tx) -> dict[str, int]:
    """How many preference pairs there are in each state."""
    rows = tx.all(sa.select(pairs.c.state, sa.func.count().label("count")).group_by(pairs.c.state))
    return {row["state"]: int(row["count"]) for row in rows}
