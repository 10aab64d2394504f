"""What people do with captured exchanges in the console: queue them, prefer an answer, leave them out of references."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence
from typing import Literal

import sqlalchemy as sa

from core.errors import InvalidInput, NotFound
from core.roles import Action
from core.types import Feedback
from store import accounts, feedback, inferences
from store.tables import inferences as exchanges
from store.tables import marks
from store.unit_of_work import Tx

Mark = Literal["label", "exclude"]
MOST = 500
_MAY = {"label": Action.LABEL, "exclude": Action.TAKE_REFERENCE}


def mark(tx: Tx, found: Sequence[str], kind: Mark, *, actor: str, reason: str = "") -> int:
    """Queue exchanges, by uuid, for labelling, or exclude them from references; returns how many were not yet.

    What is excluded counts in no reference that is taken from now on. Raises InvalidInput for more than MOST, for
    none, and for an exclusion without a reason; Forbidden; NotFound for an exchange that was never captured.
    """
    accounts.require(tx, actor, _MAY[kind])
    if not 1 <= len(found) <= MOST:
        raise InvalidInput(f"{len(found)} exchanges are marked at once.", f"Choose 1 to {MOST}.")
    if kind == "exclude" and not reason.strip():
        raise InvalidInput("Leaving something out needs a reason.", "Say in a sentence why.")
    said = inferences.clean(reason.strip())
    keys = {
        row["uuid"]: row["id"]
        for row in tx.all(sa.select(exchanges.c.uuid, exchanges.c.id).where(exchanges.c.uuid.in_(list(found))))
    }
    if len(keys) < len(set(found)):
        raise NotFound("An exchange is no longer kept.", "Reload and choose again.")
    values = {"kind": kind, "reason": said, "actor": actor, "at": tx.now}
    new = [uuid for uuid in dict.fromkeys(found) if tx.insert_once(marks, inference_id=keys[uuid], **values)]
    if new:
        body = {"exchanges": new, **({"reason": said} if said else {})}
        tx.audit(actor, "exchanges.queued" if kind == "label" else "exchanges.excluded", "traffic", body)
    return len(new)


def unmark(tx: Tx, uuid: str, kind: Mark, *, actor: str) -> bool:
    """Take an exchange out of the queue, or let it count in references again; False when it was not marked."""
    accounts.require(tx, actor, _MAY[kind])
    gone = _remove(tx, inferences.by_uuid(tx, uuid).id, kind)
    if gone:
        tx.audit(actor, "exchange.unqueued" if kind == "label" else "exchange.included", uuid)
    return gone


def prefer(tx: Tx, uuid: str, *, chosen: str, rejected: str, actor: str) -> None:
    """Keep which of two answers to the exchange `uuid` is better. Raises InvalidInput where they do not differ."""
    _tell(tx, uuid, Feedback("", tx.now, "choice", uuid, chosen=chosen, rejected=rejected), actor)


def correct(tx: Tx, uuid: str, *, better: str, actor: str) -> None:
    """Keep a better answer to the exchange `uuid` beside the captured one. Raises InvalidInput where it is the same."""
    captured = inferences.by_uuid(tx, uuid).response
    _tell(tx, uuid, Feedback("", tx.now, "correction", uuid, chosen=better, rejected=captured), actor)


def excluded(tx: Tx, inference_ids: Sequence[int]) -> frozenset[int]:
    """Those of these exchanges, by key, that count in no reference."""
    found: set[int] = set()
    for start in range(0, len(inference_ids), MOST):
        mine = marks.c.inference_id.in_(list(inference_ids[start : start + MOST]))
        rows = tx.all(sa.select(marks.c.inference_id).where(mine, marks.c.kind == "exclude"))
        found.update(int(row["inference_id"]) for row in rows)
    return frozenset(found)


def marks_of(tx: Tx, uuid: str) -> list[sa.RowMapping]:
    """The marks on one exchange, oldest first."""
    query = sa.select(marks).join(exchanges, exchanges.c.id == marks.c.inference_id).where(exchanges.c.uuid == uuid)
    return tx.all(query.order_by(marks.c.id))


def _tell(tx: Tx, uuid: str, said: Feedback, actor: str) -> None:
    accounts.require(tx, actor, Action.LABEL)
    if not said.chosen.strip():
        raise InvalidInput("The better answer is empty.", "Write one.")
    if said.chosen.split() == said.rejected.split():
        raise InvalidInput("Both answers are the same.", "Change one of them.")
    given = Feedback(
        str(uuids.uuid4()),
        tx.now,
        said.kind,
        uuid,
        chosen=said.chosen,
        rejected=said.rejected,
        contributor=actor,
        source=feedback.CONSOLE,
    )
    feedback.record(tx, given)
    _remove(tx, inferences.by_uuid(tx, uuid).id, "label")
    tx.audit(actor, "preference.given", uuid, {"kind": said.kind, "feedback": given.uuid})


def _remove(tx: Tx, inference_id: int, kind: Mark) -> bool:
    gone = sa.delete(marks).where(marks.c.inference_id == inference_id, marks.c.kind == kind)
    return bool(tx.execute(gone).rowcount)
