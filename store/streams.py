"""What the sequential monitors read: first exchanges of conversations, and judgements of answers, in key order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.thinning import EVERY, Thinning
from core.types import Inference
from store import inferences as exchanges
from store import settled
from store.feedback import CONSOLE
from store.segments import within
from store.tables import feedback, inferences
from store.unit_of_work import Tx

_IN = 400
# Keys looked up at most for each unit wanted, back into history: most conversations have fewer exchanges.
_LOOKED_UP = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of two answers to an exchange a person preferred; `unit` is the conversation, or else the exchange."""

    key: int
    inference: int
    unit: str
    messages: Sequence[Mapping[str, Any]]
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one person said of one answer, as a number where it has one; `key` is the feedback's key."""

    key: int
    inference: int
    at: datetime
    version: str
    kind: str
    value: float | None
    labels: dict[str, str]

    @property
    def negative(self) -> float | None:
        """1 for a thumb down, a rating under one half or a corrected answer; 0 for the opposite; None for neither."""
        if self.kind == "correction":
            return 1.0
        if self.value is None or self.kind not in ("thumb", "rating"):
            return None
        return float(self.value < 0) if self.kind == "thumb" else float(self.value < 0.5)


def openings(
    tx: Tx, after: int, *, deployment: str, limit: int, version: str = "", thinning: Thinning = EVERY
) -> tuple[list[Inference], int]:
    """The opening exchanges among the next `limit` watched rows, and the key of the last row read (or `after`).

    A conversation is one unit: only its first exchange opens it. Rows without a conversation are units of their own.
    With a `thinning` those among the next `limit` keys that it draws; the rows between are not read. What is committed
    out of key order waits for the rows before it (`settled`), so that each is read once and in key order.
    """
    until = settled.newest(tx, inferences)
    if thinning.one_in == 1:
        rows = exchanges.after(tx, after, deployment=deployment, version=version or None, limit=limit, until=until)
        opening = set(openings_at(tx, [row.id for row in rows], deployment=deployment))
        return [row for row in rows if row.id in opening], rows[-1].id if rows else after
    keys = thinning.after(after, until, limit)
    found = exchanges.by_ids(tx, openings_at(tx, keys, deployment=deployment, version=version))
    return found, keys[-1] if keys else after


def openings_before(
    tx: Tx,
    last: int,
    *,
    deployment: str,
    wanted: int,
    version: str = "",
    first: int = 0,
    thinning: Thinning = EVERY,
) -> list[Inference]:
    """The newest `wanted` opening exchanges with keys from `first` to `last`, in key order.

    With a `thinning` those of the keys that it draws, of which it looks up at most so many for each one wanted.
    """
    found: list[int] = []
    end, looked = last, 0
    while len(found) < wanted and end >= max(first, 1):
        if thinning.one_in == 1:
            query = (
                sa.select(inferences.c.id)
                .where(inferences.c.kind.in_(exchanges.WATCHED), within(inferences.c.deployment, deployment))
                .where(inferences.c.id <= end, inferences.c.id >= first)
            )
            if version:
                query = query.where(inferences.c.version == version)
            ids = [int(row["id"]) for row in tx.all(query.order_by(inferences.c.id.desc()).limit(wanted + 50))]
        else:
            ids = thinning.before(end, max(first, 1), min(wanted + 50, _LOOKED_UP * wanted - looked))
        if not ids:
            break
        found = openings_at(tx, ids, deployment=deployment, version=version) + found
        end, looked = ids[-1] - 1, looked + len(ids)
    return exchanges.by_ids(tx, found[-wanted:]) if wanted else []


def openings_at(
    tx: Tx, keys: Sequence[int], *, deployment: str, version: str = "", since: datetime | None = None
) -> list[int]:
    """Those of `keys` that are opening exchanges (with `since`, from then on), ascending. Two look-ups a key."""
    other = inferences.alias()
    first = (
        sa.select(other.c.id)
        .where(other.c.conversation == inferences.c.conversation, within(other.c.deployment, deployment))
        # As an expression: by the bare column SQLite walks all rows of a kind rather than those of the conversation.
        .where((other.c.kind + "").in_(exchanges.WATCHED))
        .order_by(other.c.id)
        .limit(1)
        .scalar_subquery()
    )
    found: list[int] = []
    for start in range(0, len(keys), _IN):
        query = (
            sa.select(inferences.c.id)
            .where(inferences.c.id.in_(list(keys[start : start + _IN])))
            .where(inferences.c.kind.in_(exchanges.WATCHED), within(inferences.c.deployment, deployment))
            .where(sa.or_(inferences.c.conversation == "", first == inferences.c.id))
        )
        if version:
            query = query.where(inferences.c.version == version)
        if since is not None:
            query = query.where(inferences.c.at >= since)
        found += [int(row["id"]) for row in tx.all(query)]
    return sorted(found)


def judgements(
    tx: Tx,
    after: int,
    *,
    deployment: str,
    limit: int,
    from_inference: int = 0,
    version: str = "",
    alone: bool = False,
) -> list[Judgement]:
    """The next judgements of answers with keys from `from_inference`, the first one of each answer, in key order.

    With `alone` those of `deployment` itself only, without its segments. None before those with smaller keys.
    """
    until = settled.newest(tx, feedback)
    query = _first_judgements(deployment, version, alone=alone).where(inferences.c.id >= from_inference)
    rows = tx.all(query.where(feedback.c.id > after, feedback.c.id <= until).order_by(feedback.c.id).limit(limit))
    return [_judgement(row) for row in rows]


def judgements_drawn(
    tx: Tx,
    after: int,
    *,
    thinning: Thinning,
    deployment: str,
    limit: int,
    from_inference: int = 0,
    version: str = "",
) -> tuple[list[Judgement], int]:
    """As `judgements`, those among the next `limit` keys that `thinning` draws, and the last of these (or `after`)."""
    keys = thinning.after(after, settled.newest(tx, feedback), limit)
    query = _first_judgements(deployment, version).where(inferences.c.id >= from_inference)
    return _judgements_at(tx, query, keys), keys[-1] if keys else after


def judgements_before(
    tx: Tx,
    last_inference: int | None,
    *,
    deployment: str,
    wanted: int,
    version: str = "",
    first: int = 0,
    last: int | None = None,
    thinning: Thinning = EVERY,
) -> list[Judgement]:
    """The newest `wanted` judgements with keys from `first` (to `last`), in key order.

    Of answers with keys up to `last_inference`; None: of any. With a `thinning` bounded as `openings_before`.
    """
    query = _first_judgements(deployment, version)
    if last_inference is not None:
        query = query.where(inferences.c.id <= last_inference)
    if thinning.one_in == 1:
        query = query.where(feedback.c.id >= first)
        if last is not None:
            query = query.where(feedback.c.id <= last)
        return [_judgement(row) for row in reversed(tx.all(query.order_by(feedback.c.id.desc()).limit(wanted)))]
    end = int(tx.scalar(sa.select(sa.func.max(feedback.c.id))) or 0) if last is None else last
    keys = thinning.before(end, max(first, 1), _LOOKED_UP * wanted)
    return _judgements_at(tx, query, keys)[-wanted:] if wanted else []


def judgements_of(tx: Tx, inference_ids: Sequence[int]) -> dict[int, Judgement]:
    """The first judgement of each of these answers that has one, by the answer's key."""
    found: dict[int, Judgement] = {}
    for start in range(0, len(inference_ids), _IN):
        some = list(inference_ids[start : start + _IN])
        query = _JUDGED.where(feedback.c.inference_id.in_(some), feedback.c.kind != "choice")
        for row in tx.all(query.order_by(feedback.c.id)):
            found.setdefault(int(row["inference_id"]), _judgement(row))
    return found


def choices(tx: Tx, *, deployment: str, since: datetime, limit: int, newest: bool = True) -> list[Choice]:
    """The newest (or the first) `limit` choices made from `since` on between two answers, in key order."""
    query = (
        sa.select(
            feedback.c.id,
            feedback.c.chosen,
            feedback.c.rejected,
            inferences.c.id.label("inference"),
            inferences.c.conversation,
        )
        .join(inferences, inferences.c.id == feedback.c.inference_id)
        .where(feedback.c.kind == "choice", feedback.c.at >= since, within(inferences.c.deployment, deployment))
        .order_by(feedback.c.id.desc() if newest else feedback.c.id)
        .limit(limit)
    )
    rows = sorted(tx.all(query), key=lambda row: int(row["id"]))
    asked = {row.id: row.messages for row in exchanges.by_ids(tx, [int(row["inference"]) for row in rows])}
    return [
        Choice(
            row["id"],
            row["inference"],
            row["conversation"] or f"inference:{row['inference']}",
            asked[row["inference"]],
            row["chosen"],
            row["rejected"],
        )
        for row in rows
    ]


def last_key(tx: Tx, *, deployment: str, before: datetime | None = None) -> int:
    """The key of the newest watched exchange (with `before`, of those asked for earlier than that), or 0."""
    query = sa.select(inferences.c.id).where(
        inferences.c.kind.in_(exchanges.WATCHED), within(inferences.c.deployment, deployment)
    )
    if before is not None:
        query = query.where(inferences.c.at < before)
    return int(tx.scalar(query.order_by(inferences.c.id.desc()).limit(1)) or 0)


# A better answer that a labeller wrote is no customer's complaint.
_JUDGED: sa.Select[Any] = (
    sa.select(
        feedback.c.id,
        feedback.c.inference_id,
        feedback.c.at,
        feedback.c.kind,
        feedback.c.value,
        inferences.c.version,
        inferences.c.labels,
    )
    .join(inferences, inferences.c.id == feedback.c.inference_id)
    .where(feedback.c.source != CONSOLE)
)


def _first_judgements(deployment: str, version: str, *, alone: bool = False) -> sa.Select[Any]:
    """The first judgement of each answer of `deployment` (with `alone`, without its segments)."""
    earlier, column = feedback.alias(), inferences.c.deployment
    query = _JUDGED.where(
        column == deployment if alone else within(column, deployment),
        feedback.c.kind != "choice",
        ~sa.exists().where(
            earlier.c.inference_id == feedback.c.inference_id,
            earlier.c.id < feedback.c.id,
            earlier.c.kind != "choice",
            earlier.c.source != CONSOLE,
        ),
    )
    return query.where(inferences.c.version == version) if version else query


def _judgements_at(tx: Tx, query: sa.Select[Any], keys: Sequence[int]) -> list[Judgement]:
    """What `query` finds at these keys, in their order."""
    rows: list[sa.RowMapping] = []
    for start in range(0, len(keys), _IN):
        rows += tx.all(query.where(feedback.c.id.in_(list(keys[start : start + _IN]))))
    return [_judgement(row) for row in sorted(rows, key=lambda row: int(row["id"]))]


def _judgement(row: sa.RowMapping) -> Judgement:
    return Judgement(
        row["id"], row["inference_id"], row["at"], row["version"], row["kind"], row["value"], dict(row["labels"])
    )


def newest_keys(tx: Tx, *, deployment: str, limit: int, version: str = "") -> list[int]:
    """The keys of the newest watched exchanges, newest first."""
    query = sa.select(inferences.c.id).where(
        inferences.c.kind.in_(exchanges.WATCHED), within(inferences.c.deployment, deployment)
    )
    if version:
        query = query.where(inferences.c.version == version)
    return [int(row["id"]) for row in tx.all(query.order_by(inferences.c.id.desc()).limit(limit))]


def keys_by_label(tx: Tx, keys: list[int], label: str) -> dict[str, list[int]]:
    """`keys` grouped by the value of `label`; rows without it come under an empty value."""
    groups: dict[str, list[int]] = {}
    for start in range(0, len(keys), _IN):
        query = sa.select(inferences.c.id, inferences.c.labels).where(inferences.c.id.in_(keys[start : start + _IN]))
        for row in tx.all(query):
            groups.setdefault(str(row["labels"].get(label, "")), []).append(int(row["id"]))
    return groups
