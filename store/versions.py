"""Model versions: immutable rows named `deployment-v{n}`, each with the digest of its files and its fingerprint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.events import digest
from core.types import Check, Estimate, GateReport, ModelVersion, Verdict
from store.tables import gate_reports, runs, versions
from store.unit_of_work import Tx

_RUN = sa.select(versions, runs.c.uuid.label("run_uuid")).outerjoin(runs, runs.c.id == versions.c.run_id)


def register(tx: Tx, version: ModelVersion, *, actor: str) -> int:
    """Record `version` and return its key. The same name with the same content again changes nothing.

    Raises Conflict when the name, or the content, is already another version's.
    """
    found = tx.one(
        sa.select(versions).where(sa.or_(versions.c.name == version.name, versions.c.digest == version.digest))
    )
    if found is not None:
        if (found["name"], found["digest"]) == (version.name, version.digest):
            return int(found["id"])
        raise Conflict(
            f"{version.name} cannot be registered: {found['name']} already has its name or its content.",
            "Use the version that exists.",
        )
    run_id = tx.scalar(sa.select(runs.c.id).where(runs.c.uuid == version.run)) if version.run else None
    key = tx.insert(
        versions,
        name=version.name,
        digest=version.digest,
        kind=version.kind,
        base=version.base,
        path=version.path,
        parent=version.parent,
        run_id=run_id,
        fingerprint=version.fingerprint,
        card=dict(version.card),
        created_at=version.created_at,
    )
    body = {"digest": version.digest, "kind": version.kind, "parent": version.parent, "run": version.run}
    tx.audit(actor, "version.registered", version.name, body)
    return key


def get(tx: Tx, name: str) -> ModelVersion:
    """The version called `name`. Raises NotFound."""
    return _version(_row(tx, versions.c.name == name, name))


def by_id(tx: Tx, id: int) -> ModelVersion:
    """The version with the integer key `id`. Raises NotFound."""
    return _version(_row(tx, versions.c.id == id, str(id)))


def by_digest(tx: Tx, digest: str) -> ModelVersion | None:
    """The version whose files have `digest`, or None."""
    row = tx.one(_RUN.where(versions.c.digest == digest))
    return _version(row) if row is not None else None


def listed(tx: Tx) -> list[ModelVersion]:
    """Every version, newest first."""
    return [_version(row) for row in tx.all(_RUN.order_by(versions.c.id.desc()))]


def next_name(tx: Tx, deployment: str) -> str:
    """The next free adapter name of `deployment`: assistant-v1, assistant-v2, ..."""
    pattern = re.compile(re.escape(deployment) + r"-v(\d+)")
    names = tx.all(sa.select(versions.c.name))
    taken = [int(match[1]) for row in names if (match := pattern.fullmatch(row["name"]))]
    return f"{deployment}-v{max(taken, default=0) + 1}"


def report(tx: Tx, gate: GateReport, *, run_id: int | None, actor: str) -> tuple[int, str]:
    """Record a gate's report, which never changes again; returns its key and the digest of its content.

    The same report again (a worker that starts over after a crash) is the same row.
    """
    candidate = get(tx, gate.candidate)
    checks = [check_json(check) for check in gate.checks]
    made = report_digest(candidate.digest, gate.champion, gate.verdict, checks)
    same = sa.select(gate_reports.c.id).where(gate_reports.c.version_id == candidate.id, gate_reports.c.digest == made)
    if (found := tx.scalar(same)) is not None:
        return int(found), made
    key = tx.insert(
        gate_reports,
        run_id=run_id,
        version_id=candidate.id,
        champion=gate.champion,
        verdict=gate.verdict,
        checks=checks,
        digest=made,
        at=gate.at,
    )
    verdicts = {check.name: check.verdict for check in gate.checks}
    body = {"verdict": gate.verdict, "champion": gate.champion, "digest": made, "checks": verdicts}
    tx.audit(actor, "gate.reported", gate.candidate, body)
    return key, made


def report_digest(candidate: str, champion: str, verdict: str, checks: Sequence[Mapping[str, Any]]) -> str:
    """What a gate's report on the version whose files have the digest `candidate` is known by."""
    return digest({"candidate": candidate, "champion": champion, "verdict": verdict, "checks": list(checks)})


def latest_report(tx: Tx, name: str) -> GateReport | None:
    """The newest gate report of the version `name`, or None."""
    row = tx.one(
        sa.select(gate_reports)
        .join(versions, versions.c.id == gate_reports.c.version_id)
        .where(versions.c.name == name)
        .order_by(gate_reports.c.id.desc())
        .limit(1)
    )
    if row is None:
        return None
    verdict: Verdict = row["verdict"]
    checks = tuple(_check(value) for value in row["checks"])
    return GateReport(name, row["champion"], verdict, checks, row["at"])


def check_json(check: Check) -> dict[str, Any]:
    """A check as JSON: name, verdict, reason, estimate (or None), limit, details, required."""
    return {
        "name": check.name,
        "verdict": check.verdict,
        "reason": check.reason,
        "estimate": asdict(check.estimate) if check.estimate else None,
        "limit": check.limit,
        "details": dict(check.details),
        "required": check.required,
    }


def _check(value: dict[str, Any]) -> Check:
    estimate = Estimate(**value["estimate"]) if value["estimate"] else None
    # Reports written before a check could be optional do not say so.
    required = value.get("required", True)
    return Check(value["name"], value["verdict"], value["reason"], estimate, value["limit"], value["details"], required)


def _row(tx: Tx, matching: sa.ColumnElement[bool], name: str) -> sa.RowMapping:
    row = tx.one(_RUN.where(matching))
    if row is None:
        raise NotFound(f"There is no version {name}.", "See the Models page for those there are.")
    return row


def _version(row: sa.RowMapping) -> ModelVersion:
    return ModelVersion(
        name=row["name"],
        digest=row["digest"],
        kind=row["kind"],
        base=row["base"],
        path=row["path"],
        created_at=row["created_at"],
        parent=row["parent"],
        run=row["run_uuid"] or "",
        fingerprint=row["fingerprint"],
        card=row["card"],
        id=row["id"],
    )
