"""Past the gate on purpose: a promotion that its gate did not pass, asked for with a reason, approved by another."""

from __future__ import annotations

import sqlalchemy as sa

from core.errors import Conflict, Forbidden, InvalidInput
from core.segments import Segment, deployment_of
from store import deployments
from store.tables import gate_reports, versions
from store.unit_of_work import Tx
from store.versions import report_digest

# Whose failure nobody may talk away: files that are not those that were trained.
NEVER = "integrity"


def standing(tx: Tx, name: str) -> sa.RowMapping | None:
    """The newest gate report of the version `name`, or None."""
    query = sa.select(gate_reports).join(versions, versions.c.id == gate_reports.c.version_id)
    return tx.one(query.where(versions.c.name == name).order_by(gate_reports.c.id.desc()).limit(1))


def require_asked(tx: Tx, name: str, *, deployment: str, report: str, reason: str) -> None:
    """Raise where no override of the gate of `name` may be asked for: without a reason, with nothing to override, for
    another `report` (its digest) than the newest, for damaged files, or against a version that is no longer live.
    """
    if not reason.strip():
        raise InvalidInput("An override needs a reason.", "Say in a sentence why it should go live all the same.")
    found = standing(tx, name)
    if found is None:
        raise Conflict(f"{name} was not judged by a gate.", "Let a run judge it first.")
    if found["digest"] != report:
        raise Conflict(f"The gate judged {name} anew since it was shown.", "Read the new report, then decide again.")
    _require_unchanged(tx, found, name)
    if found["verdict"] == "pass":
        raise Conflict(f"The gate passed {name}.", "Approve its promotion instead.")
    if any(check["name"] == NEVER and check["verdict"] == "fail" for check in found["checks"]):
        raise Conflict(f"The files of {name} are not those that were trained.", "Train it again.")
    _require_champion(tx, found, deployment)


def require_passed(tx: Tx, name: str, *, deployment: str, report: str) -> None:
    """Raise where the promotion of `name` may not be proposed again: unless the newest `report` (its digest) is a pass
    against the version that is live."""
    found = standing(tx, name)
    if found is None or found["verdict"] != "pass":
        raise Conflict(f"No gate passed {name}.", "Let a run judge it, or ask for an override.")
    if found["digest"] != report:
        raise Conflict(f"The gate judged {name} anew since it was shown.", "Read the new report, then decide again.")
    _require_unchanged(tx, found, name)
    _require_champion(tx, found, deployment)


def require_allowed(tx: Tx, row: sa.RowMapping, *, actor: str, comment: str, segment: Segment | None = None) -> None:
    """Raise where what stands of the gate does not let the promotion that `row` proposes be approved by `actor`.

    Without an override the newest report must be a pass; with one it must be the report that was overridden, and the
    second person another than the first, whatever the settings say, with a reason of their own (`comment`). Either way
    the report must be as it was made, and compare with what answers now whom the promotion is for: everybody, or the
    `segment`. A proposal that names no report, of a version that no gate judged, is held to nothing: only Trimtab's own
    processes make one.
    """
    body, found = row["body"], standing(tx, row["subject"])
    if found is None and "report" not in body:
        return
    if found is None or body.get("report", found["digest"]) != found["digest"]:
        raise Conflict(
            f"The gate judged {row['subject']} anew since this was proposed.", "Read the new report, then decide again."
        )
    _require_unchanged(tx, found, row["subject"])
    if "override" not in body and found["verdict"] != "pass":
        raise Conflict(f"The gate did not pass {row['subject']}.", "Ask for an override, with a reason.")
    if "override" in body and row["proposer"] == actor:
        raise Forbidden("An override needs a second person.", "Ask another approver.")
    if "override" in body and not comment.strip():
        raise InvalidInput(
            "An override needs your reason too.", "Say in a sentence why it should go live all the same."
        )
    whom = body["deployment"] if segment is None else deployment_of(body["deployment"], segment)
    # A segment without a route of its own gets what everybody gets.
    _require_champion(tx, found, whom if deployments.current(tx, whom) is not None else body["deployment"])


def record(tx: Tx, row: sa.RowMapping, *, actor: str, comment: str) -> None:
    """Write to the audit chain that `actor` let the promotion of `row` past its gate, and on whose word and why."""
    told = {"report": row["body"]["report"], **row["body"]["override"]}
    body = {**told, "asked_by": row["proposer"], "decision": row["uuid"], "comment": comment}
    tx.audit(actor, "gate.overridden", row["subject"], body)


def _require_unchanged(tx: Tx, found: sa.RowMapping, name: str) -> None:
    files = str(tx.scalar(sa.select(versions.c.digest).where(versions.c.id == found["version_id"])))
    if report_digest(files, found["champion"], found["verdict"], found["checks"]) != found["digest"]:
        raise Conflict(
            f"The gate's report on {name} was changed after it was made.",
            "Verify the audit chain, which has its digest, and train the version again.",
        )


def _require_champion(tx: Tx, found: sa.RowMapping, deployment: str) -> None:
    route = deployments.current(tx, deployment)
    live = route["version"] if route is not None else ""
    if live != found["champion"]:
        raise Conflict(
            f"The report compares with {found['champion']}, and {live or 'nothing'} is live.",
            "Retrain from what is live: a run judges what it makes against that.",
        )
