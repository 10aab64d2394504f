"""What the Traffic page shows: a bounded search over captured exchanges, newest first, and all about one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from store.segments import within
from store.tables import feedback, inference_texts, inferences, marks, versions
from store.unit_of_work import Tx

# A page of results reads at most so many exchanges, however rare the words are and however long the history is.
SCANNED = 5_000
PAGE = 50
END = 2**62
_UNWATCHED = ("probe", "shadow")
_LIST = [
    *(inferences.c[name] for name in ("id", "uuid", "at", "version", "kind", "status", "labels", "conversation")),
    inference_texts.c.prompt,
    inference_texts.c.response,
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: words in prompt or answer, a version, a label as name=value, since when, below which key."""

    words: str = ""
    version: str = ""
    label: str = ""
    since: datetime | None = None
    before: int = END


@dataclass(frozen=True, slots=True)
class Found:
    """A page of exchanges, newest first. `older` is the key to go on before, None at the end of the history;
    `scanned_to` is when the oldest exchange that this page read was captured, where it did not fill up.
    """

    rows: Sequence[dict[str, Any]]
    older: int | None
    scanned_to: datetime | None


def search(tx: Tx, deployment: str, wanted: Wanted) -> Found:
    """The newest matching exchanges of people (no probes) below the key `wanted.before`, at most PAGE."""
    below = sa.select(inferences.c.id, inferences.c.at).where(inferences.c.id < wanted.before)
    if wanted.version:
        below = below.where(inferences.c.version == wanted.version)
    floor = tx.one(below.order_by(inferences.c.id.desc()).limit(1).offset(SCANNED - 1))
    query = _joined().where(
        inferences.c.id < wanted.before,
        inferences.c.id >= (floor["id"] if floor else 0),
        # Written so that no index on the kind is gone through: the keys bound the work.
        inferences.c.kind.not_in(_UNWATCHED),
        within(inferences.c.deployment, deployment),
    )
    if wanted.version:
        query = query.where(inferences.c.version == wanted.version)
    if wanted.since is not None:
        query = query.where(inferences.c.at >= wanted.since)
    name, _, value = wanted.label.partition("=")
    if name.strip():
        query = query.where(inferences.c.labels[name.strip()].as_string() == value.strip())
    if wanted.words:
        told = (inference_texts.c[part].icontains(wanted.words, autoescape=True) for part in ("prompt", "response"))
        query = query.where(sa.or_(*told))
    rows = [dict(row) for row in tx.all(query.order_by(inferences.c.id.desc()).limit(PAGE))]
    if len(rows) == PAGE:
        return Found(rows, rows[-1]["id"], None)
    return Found(rows, floor["id"] if floor else None, floor["at"] if floor else None)


def by_uuids(tx: Tx, uuids: Sequence[str]) -> list[dict[str, Any]]:
    """The exchanges with these uuids, in the order asked for."""
    return _in_order(tx, _joined().where(inferences.c.uuid.in_(list(uuids))), "uuid", uuids)


def by_ids(tx: Tx, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The exchanges with these keys, in the order asked for."""
    return _in_order(tx, _joined().where(inferences.c.id.in_(list(ids))), "id", ids)


def queued(tx: Tx, limit: int = PAGE) -> list[dict[str, Any]]:
    """The exchanges that wait to be labelled, the one that waits longest first."""
    query = _joined().join(marks, marks.c.inference_id == inferences.c.id).where(marks.c.kind == "label")
    return [dict(row) for row in tx.all(query.order_by(marks.c.id).limit(limit))]


def queue_size(tx: Tx) -> int:
    """How many exchanges wait to be labelled."""
    return int(tx.scalar(sa.select(sa.func.count()).where(marks.c.kind == "label")) or 0)


def version_names(tx: Tx) -> list[str]:
    """The versions that may have answered, newest first."""
    return [str(row["name"]) for row in tx.all(sa.select(versions.c.name).order_by(versions.c.id.desc()).limit(100))]


def one(tx: Tx, uuid: str) -> dict[str, Any] | None:
    """Everything about one exchange, or None: its messages, and what people said of it, oldest first."""
    columns = [*inferences.c, inference_texts.c.messages, inference_texts.c.prompt, inference_texts.c.response]
    joined = sa.select(*columns).join(inference_texts, inference_texts.c.inference_id == inferences.c.id)
    row = tx.one(joined.where(inferences.c.uuid == uuid))
    if row is None:
        return None
    said = sa.select(feedback).where(feedback.c.inference_id == row["id"]).order_by(feedback.c.id).limit(PAGE)
    return {**row, "feedback": tx.all(said)}


def other_answers(tx: Tx, row: dict[str, Any], limit: int = 3) -> list[dict[str, Any]]:
    """Other answers to the very same messages among the newest SCANNED exchanges, newest first, each text once."""
    below = sa.select(inferences.c.id).where(inferences.c.id < END).order_by(inferences.c.id.desc())
    floor = int(tx.scalar(below.limit(1).offset(SCANNED - 1)) or 0)
    query = (
        sa.select(inferences.c.id, inferences.c.version, inference_texts.c.messages, inference_texts.c.response)
        .join(inference_texts, inference_texts.c.inference_id == inferences.c.id)
        .where(inferences.c.id >= floor, inferences.c.prompt_digest == row["prompt_digest"])
        .where(inferences.c.kind.not_in(_UNWATCHED), inferences.c.status == 200, inferences.c.id != row["id"])
    )
    found: dict[str, dict[str, Any]] = {}
    for other in tx.all(query.order_by(inferences.c.id.desc()).limit(SCANNED)):
        differs = other["response"].split() != str(row["response"]).split()
        if other["response"].strip() and differs and other["messages"] == row["messages"]:
            found.setdefault(other["response"], dict(other))
    return list(found.values())[:limit]


def said_of(tx: Tx, ids: Sequence[int]) -> dict[int, str]:
    """What people said of each of these exchanges, in a few words: 2 up, 1 down, 1 correction."""
    query = sa.select(feedback.c.inference_id, feedback.c.kind, feedback.c.value)
    counts: dict[int, Counter[str]] = {}
    for row in tx.all(query.where(feedback.c.inference_id.in_(list(ids))).order_by(feedback.c.id)) if ids else []:
        counts.setdefault(int(row["inference_id"]), Counter())[_word(row["kind"], row["value"])] += 1
    return {id: ", ".join(f"{n} {word}" for word, n in count.items()) for id, count in counts.items()}


def _word(kind: str, value: float | None) -> str:
    if kind == "thumb" and value is not None:
        return "up" if value > 0 else "down"
    return f"rated {value:g}" if kind == "rating" and value is not None else kind


def _joined() -> sa.Select[Any]:
    return sa.select(*_LIST).join(inference_texts, inference_texts.c.inference_id == inferences.c.id)


def _in_order(tx: Tx, query: sa.Select[Any], key: str, wanted: Sequence[Any]) -> list[dict[str, Any]]:
    if not wanted:
        return []
    found = {row[key]: dict(row) for row in tx.all(query)}
    return [found[name] for name in wanted if name in found]
