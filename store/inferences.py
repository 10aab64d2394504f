"""Captured exchanges: narrow rows, their texts in a table apart, users only as a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from core.errors import NotFound
from core.types import Inference
from store import settled
from store.embeddings import digest
from store.segments import within
from store.tables import inference_texts, inferences, options
from store.unit_of_work import Tx

WATCHED = ("live", "import")
SALT = "user_salt"
_BATCH = 500


def record(tx: Tx, rows: Sequence[Inference], *, source_keys: Sequence[str] = ()) -> list[int]:
    """Write `rows` and return their keys in the same order; a uuid or source key already there is left as it is.

    `user` is kept only as a hash keyed with the installation's salt. Texts lose what a database cannot hold (NUL
    and half surrogates become U+FFFD). `source_keys`, when given, has one name a row, unique in the store.
    """
    if not rows:
        return []
    settled.announce(tx, inferences)
    salt = salt_of(tx) if any(row.user for row in rows) else b""
    keys: list[str | None] = list(source_keys) if source_keys else [None] * len(rows)
    narrow = [_narrow(row, key, salt) for row, key in zip(rows, keys, strict=True)]
    uuids = [row.uuid for row in rows]
    before = _keys_of(tx, uuids)
    tx.execute(tx._insert(inferences).on_conflict_do_nothing(), narrow)
    found = _keys_of(tx, uuids)
    texts = {
        found[row.uuid]: {
            "inference_id": found[row.uuid],
            "messages": clean_value(list(row.messages)),
            "prompt": clean(row.prompt),
            "response": clean(row.response),
        }
        for row in rows
        if row.uuid in found and row.uuid not in before
    }
    if texts:
        tx.execute(tx._insert(inference_texts).on_conflict_do_nothing(), list(texts.values()))
    return [found.get(uuid, 0) for uuid in uuids]


def after(
    tx: Tx,
    id: int,
    *,
    kinds: Sequence[str] = WATCHED,
    deployment: str | None = None,
    version: str | None = None,
    alone: bool = False,
    limit: int,
    until: int | None = None,
) -> list[Inference]:
    """The first `limit` exchanges whose key is above `id` (and at most `until`), in key order, with their texts.

    A `deployment` stands for its segments too, unless `alone`. Who goes on from the last key reads up to
    `settled.newest`, or misses what is committed out of order.
    """
    chosen = _matching(kinds, deployment, version).where(inferences.c.id > id)
    if until is not None:
        chosen = chosen.where(inferences.c.id <= until)
    if alone:
        chosen = chosen.where(inferences.c.deployment == deployment)
    return [_read(row) for row in tx.all(chosen.order_by(inferences.c.id).limit(limit))]


def by_ids(tx: Tx, ids: Iterable[int]) -> list[Inference]:
    """The exchanges with these keys, in key order; keys that nothing has are left out."""
    wanted, found = sorted(set(ids)), []
    for start in range(0, len(wanted), _BATCH):
        part = _JOINED.where(inferences.c.id.in_(wanted[start : start + _BATCH])).order_by(inferences.c.id)
        found += [_read(row) for row in tx.all(part)]
    return found


def by_uuids(tx: Tx, uuids: Iterable[str]) -> dict[str, Inference]:
    """The exchanges of these uuids, by uuid; those that nothing has are left out."""
    wanted, found = list(dict.fromkeys(uuids)), {}
    for start in range(0, len(wanted), _BATCH):
        for row in tx.all(_JOINED.where(inferences.c.uuid.in_(wanted[start : start + _BATCH]))):
            found[row["uuid"]] = _read(row)
    return found


def by_uuid(tx: Tx, uuid: str) -> Inference:
    """The exchange that the outside knows as `uuid`. Raises NotFound."""
    row = tx.one(_JOINED.where(inferences.c.uuid == uuid))
    if row is None:
        raise NotFound(f"There is no captured answer {uuid[:80]}.", "Use the id that the chat answer carried.")
    return _read(row)


def key_range(
    tx: Tx, *, kinds: Sequence[str] = WATCHED, deployment: str | None = None, version: str | None = None
) -> tuple[int, int, int]:
    """(first key, last key, number) of the matching exchanges; (0, 0, 0) when there is none."""
    conditions = _conditions(kinds, deployment, version)
    first, last = sa.func.min(inferences.c.id).label("first"), sa.func.max(inferences.c.id).label("last")
    row = tx.one(sa.select(first, last, sa.func.count().label("number")).where(*conditions))
    return (int(row["first"] or 0), int(row["last"] or 0), int(row["number"])) if row is not None else (0, 0, 0)


def count_after(
    tx: Tx, id: int, *, kinds: Sequence[str] = WATCHED, deployment: str | None = None, version: str | None = None
) -> int:
    """How many matching exchanges have a key above `id`."""
    conditions = _conditions(kinds, deployment, version)
    return int(tx.scalar(sa.select(sa.func.count()).where(inferences.c.id > id, *conditions)))


def hash_user(salt: bytes, user: str) -> str:
    """A pseudonym of 32 hex digits: the same person gives the same one within an installation only."""
    return hmac.new(salt, user.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32] if user else ""


def clean(text: str) -> str:
    """`text` as every database can hold it: NUL and half surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def clean_value(value: Any) -> Any:
    """`value` (JSON) with each of its texts cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): clean_value(item) for name, item in value.items()}
    return [clean_value(item) for item in value] if isinstance(value, list | tuple) else value


def salt_of(tx: Tx) -> bytes:
    """The installation's salt for pseudonyms, made at the first need."""
    # A row rather than a file: several gateways on one store must give a person the same pseudonym.
    chosen = sa.select(options.c.value).where(options.c.name == SALT)
    if tx.scalar(chosen) is None:
        fresh = {"hex": secrets.token_hex(32)}
        tx.insert_once(options, name=SALT, value=fresh, actor="system:gateway", changed_at=tx.now)
    return bytes.fromhex(tx.scalar(chosen)["hex"])


def _keys_of(tx: Tx, uuids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start in range(0, len(uuids), _BATCH):
        part = inferences.c.uuid.in_(uuids[start : start + _BATCH])
        for row in tx.all(sa.select(inferences.c.uuid, inferences.c.id).where(part)):
            found[row["uuid"]] = int(row["id"])
    return found


def _narrow(row: Inference, source_key: str | None, salt: bytes) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "at": row.at,
        "deployment": clean(row.deployment),
        "version": clean(row.version),
        "kind": row.kind,
        "status": row.status,
        "error": clean(row.error),
        "finish_reason": clean(row.finish_reason),
        "streamed": row.streamed,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "latency_ms": row.latency_ms,
        "first_token_ms": row.first_token_ms,
        "compute_ms": row.compute_ms,
        "response_chars": len(row.response),
        "conversation": clean(row.conversation),
        "user_hash": hash_user(salt, row.user),
        "labels": clean_value(dict(row.labels)),
        "prompt_digest": digest(clean(row.prompt)),
        "source_key": source_key,
    }


_JOINED = sa.select(inferences, inference_texts.c.messages, inference_texts.c.prompt, inference_texts.c.response).join(
    inference_texts, inference_texts.c.inference_id == inferences.c.id
)


def _conditions(kinds: Sequence[str], deployment: str | None, version: str | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = [inferences.c.kind.in_(list(kinds))]
    if deployment is not None:
        conditions.append(within(inferences.c.deployment, deployment))
    if version is not None:
        conditions.append(inferences.c.version == version)
    return conditions


def _matching(kinds: Sequence[str], deployment: str | None, version: str | None) -> sa.Select[Any]:
    return _JOINED.where(*_conditions(kinds, deployment, version))


def _read(row: sa.RowMapping) -> Inference:
    return Inference(
        uuid=row["uuid"],
        at=row["at"],
        deployment=row["deployment"],
        version=row["version"],
        kind=row["kind"],
        messages=row["messages"],
        prompt=row["prompt"],
        response=row["response"],
        status=row["status"],
        error=row["error"],
        finish_reason=row["finish_reason"],
        streamed=row["streamed"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        latency_ms=row["latency_ms"],
        first_token_ms=row["first_token_ms"],
        compute_ms=row["compute_ms"],
        conversation=row["conversation"],
        user=row["user_hash"],
        labels=row["labels"],
        id=row["id"],
    )
