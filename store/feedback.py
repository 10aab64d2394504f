"""What people said of answers: written once a uuid, tied to the captured answer, contributors only as a keyed hash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core.errors import NotFound
from core.types import Feedback
from store import settled
from store.inferences import clean, hash_user, salt_of
from store.segments import within
from store.tables import feedback, inference_texts, inferences
from store.unit_of_work import Tx

# Feedback of this source comes from people who were given answers to judge, not from those who had asked.
CONSOLE = "console"
_BATCH = 500


def record(tx: Tx, item: Feedback) -> bool:
    """Write `item`; returns False when its uuid is already there. Raises NotFound for an answer never captured.

    The contributor is kept as the same keyed hash as a chat's user. A correction without `rejected` takes the
    captured answer as the rejected one.
    """
    if tx.scalar(sa.select(feedback.c.id).where(feedback.c.uuid == item.uuid)) is not None:
        return False
    inference_id: int | None = None
    rejected = item.rejected
    if item.inference:
        inference_id = tx.scalar(sa.select(inferences.c.id).where(inferences.c.uuid == item.inference))
        if inference_id is None:
            raise NotFound(
                f"There is no captured answer {item.inference[:80]}.", "Use the id that the chat answer carried."
            )
        if item.kind == "correction" and not rejected:
            told = sa.select(inference_texts.c.response).where(inference_texts.c.inference_id == inference_id)
            rejected = tx.scalar(told) or ""
    settled.announce(tx, feedback)
    tx.insert(
        feedback,
        uuid=item.uuid,
        at=item.at,
        kind=item.kind,
        inference_id=inference_id,
        value=item.value,
        chosen=clean(item.chosen),
        rejected=clean(rejected),
        comment=clean(item.comment),
        contributor=hash_user(salt_of(tx), item.contributor) if item.contributor else "",
        source=item.source,
    )
    return True


def for_inferences(
    tx: Tx, first_id: int, last_id: int, *, version: str | None = None, deployment: str | None = None
) -> list[tuple[int, str, Feedback]]:
    """(inference key, version, feedback) for answers with keys from `first_id` to `last_id`, in feedback order."""
    chosen = _JOINED.where(feedback.c.inference_id.between(first_id, last_id))
    if version is not None:
        chosen = chosen.where(inferences.c.version == version)
    if deployment is not None:
        chosen = chosen.where(within(inferences.c.deployment, deployment))
    rows = tx.all(chosen.order_by(feedback.c.id))
    return [(int(row["inference_id"]), row["version"], _read(row)) for row in rows]


def after(tx: Tx, id: int, limit: int) -> list[Feedback]:
    """The first `limit` pieces of feedback whose key is above `id`, in key order, as far as none can come between them
    any more (`settled`): who reads on above the last reads each once."""
    new = feedback.c.id > id, feedback.c.id <= settled.newest(tx, feedback)
    return [_read(row) for row in tx.all(_JOINED.where(*new).order_by(feedback.c.id).limit(limit))]


def preferred(tx: Tx, inference_ids: Sequence[int]) -> frozenset[int]:
    """Those of these exchanges, by key, of which somebody has chosen or corrected an answer."""
    found: set[int] = set()
    for start in range(0, len(inference_ids), _BATCH):
        mine = feedback.c.inference_id.in_(list(inference_ids[start : start + _BATCH]))
        told = sa.select(feedback.c.inference_id).where(mine, feedback.c.kind.in_(("choice", "correction")))
        found.update(int(row["inference_id"]) for row in tx.all(told))
    return frozenset(found)


def newest(tx: Tx, kind: str, limit: int) -> list[Feedback]:
    """The last `limit` pieces of feedback of one kind on captured answers, newest first."""
    chosen = _JOINED.where(feedback.c.kind == kind, feedback.c.inference_id.is_not(None))
    return [_read(row) for row in tx.all(chosen.order_by(feedback.c.id.desc()).limit(limit))]


_JOINED: sa.Select[Any] = sa.select(feedback, inferences.c.uuid.label("inference"), inferences.c.version).outerjoin(
    inferences, inferences.c.id == feedback.c.inference_id
)


def _read(row: sa.RowMapping) -> Feedback:
    return Feedback(
        uuid=row["uuid"],
        at=row["at"],
        kind=row["kind"],
        inference=row["inference"] or "",
        value=row["value"],
        chosen=row["chosen"],
        rejected=row["rejected"],
        comment=row["comment"],
        contributor=row["contributor"],
        source=row["source"],
        id=row["id"],
    )
