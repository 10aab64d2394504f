"""Preference pairs: collected once by content, then approved or quarantined with reasons, and never changed."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from core.errors import InvalidInput, NotFound
from core.events import digest
from core.roles import Action
from core.states import PAIR
from core.types import PreferencePair
from store import accounts
from store.inferences import clean, clean_value
from store.tables import options, pairs
from store.unit_of_work import Tx

_BATCH = 500


def content_digest(prompt: Sequence[Mapping[str, str]], chosen: str, rejected: str) -> str:
    """What makes two pairs the same pair: prompt, chosen and rejected, exactly."""
    return digest([[dict(message) for message in prompt], chosen, rejected])


def add(tx: Tx, found: Sequence[PreferencePair], *, actor: str, source_keys: Sequence[str | None] | None = None) -> int:
    """Collect pairs and return how many are new: one of equal content, or of a source key seen before, is left out.

    They wait as collected until the worker's checks approve or quarantine them.
    """
    keys = list(source_keys) if source_keys is not None else [None] * len(found)
    new = 0
    for pair, key in zip(found, keys, strict=True):
        prompt = clean_value([dict(message) for message in pair.prompt])
        chosen, rejected = clean(pair.chosen), clean(pair.rejected)
        new += tx.insert_once(
            pairs,
            uuid=pair.uuid or str(uuids.uuid4()),
            content_digest=content_digest(prompt, chosen, rejected),
            prompt_digest=digest(prompt),
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            contributor=clean(pair.contributor),
            session=clean(pair.session),
            at=pair.at or tx.now,
            source=clean(pair.source),
            licence=clean(pair.licence),
            version=pair.version,
            consent=clean(pair.consent),
            weight=pair.weight,
            state="collected",
            reasons=[],
            source_key=key,
        )
    if new:
        sources = sorted({pair.source for pair in found})[:20]
        tx.audit(actor, "pairs.collected", "pairs", {"given": len(found), "new": new, "sources": sources})
    return new


def counts(tx: Tx) -> dict[str, int]:
    """How many pairs are in each state."""
    rows = tx.all(sa.select(pairs.c.state, sa.func.count().label("n")).group_by(pairs.c.state))
    return {**dict.fromkeys(PAIR.states, 0), **{row["state"]: int(row["n"]) for row in rows}}


def collected(tx: Tx, limit: int = _BATCH) -> list[PreferencePair]:
    """The oldest pairs that no check has looked at yet."""
    return read(tx, sa.select(pairs).where(pairs.c.state == "collected").order_by(pairs.c.id).limit(limit))


def approved(tx: Tx, limit: int) -> list[PreferencePair]:
    """The newest approved pairs, at most `limit`, oldest first."""
    newest = sa.select(pairs).where(pairs.c.state == "approved").order_by(pairs.c.id.desc()).limit(limit)
    return read(tx, newest)[::-1]


def standing(tx: Tx, since: int) -> dict[int, bool]:
    """The keys of the approved pairs from `since` on, each with whether a person let that pair go."""
    approved = pairs.c.state == "approved", pairs.c.id >= since
    free = (pairs.c.decided_by != "").label("free")
    return {int(row["id"]): bool(row["free"]) for row in tx.all(sa.select(pairs.c.id, free).where(*approved))}


def held_for(tx: Tx, flags: Sequence[str], limit: int) -> list[PreferencePair]:
    """The newest quarantined pairs with any of these flags that no person decided on, at most `limit`, oldest first."""
    carried = sa.or_(*(pairs.c.flags.contains(f" {flag} ", autoescape=True) for flag in flags))
    free = pairs.c.state == "quarantined", pairs.c.decided_by == "", carried
    return read(tx, sa.select(pairs).where(*free).order_by(pairs.c.id.desc()).limit(limit))[::-1]


def by_digests(tx: Tx, digests: Sequence[str]) -> dict[str, tuple[int, str]]:
    """(key, state) of the pairs whose content has one of these digests."""
    found: dict[str, tuple[int, str]] = {}
    for start in range(0, len(digests), _BATCH):
        part = pairs.c.content_digest.in_(digests[start : start + _BATCH])
        for row in tx.all(sa.select(pairs.c.content_digest, pairs.c.id, pairs.c.state).where(part)):
            found[row["content_digest"]] = (int(row["id"]), row["state"])
    return found


def judge(
    tx: Tx,
    verdicts: Mapping[int, Sequence[str]],
    *,
    actor: str,
    flags: Mapping[int, Sequence[str]] = MappingProxyType({}),
) -> tuple[int, int]:
    """Approve the pairs without reasons, quarantine the others; returns (approved, quarantined).

    `flags` are the stable names of what was found. A pair that a person decided on meanwhile is left alone.
    """
    done = {"approved": 0, "quarantined": 0}
    for id, reasons in verdicts.items():
        new = "quarantined" if reasons else "approved"
        free = pairs.c.id == id, pairs.c.state.in_(PAIR.sources(new)), pairs.c.decided_by == ""
        values = {"state": new, "reasons": list(reasons), "flags": flags_text(flags.get(id, ()))}
        done[new] += tx.execute(sa.update(pairs).where(*free).values(**values)).rowcount
    if any(done.values()):
        tx.audit(actor, "pairs.judged", "pairs", done)
    return done["approved"], done["quarantined"]


def flags_text(flags: Iterable[str]) -> str:
    """Flags as they are kept: each between spaces, so that one is found without reading the others."""
    return "".join(f" {flag}" for flag in dict.fromkeys(flags)) + " " if flags else ""


def release(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """Let a quarantined (or rejected) pair be trained on after all, with a reason."""
    _decide(tx, uuid, "approved", actor, reason)


def reject(tx: Tx, uuid: str, *, actor: str, reason: str) -> None:
    """Keep a pair out of training for good, with a reason."""
    _decide(tx, uuid, "rejected", actor, reason)


def seen(tx: Tx, source: str) -> int:
    """The key of the last row of `source` that pairs were made from; 0 before the first."""
    value = tx.scalar(sa.select(options.c.value).where(options.c.name == source))
    return int(value["id"]) if value else 0


def set_seen(tx: Tx, source: str, id: int, *, actor: str) -> None:
    """Remember that pairs were made from the rows of `source` up to key `id`."""
    tx.upsert(options, ["name"], name=source, value={"id": id}, actor=actor, changed_at=tx.now)


def source_keys(tx: Tx, start: str) -> list[str]:
    """Every source key that begins with `start`."""
    # Between two texts rather than LIKE, which PostgreSQL answers from the index in one collation only.
    inside = pairs.c.source_key >= start, pairs.c.source_key < f"{start[:-1]}{chr(ord(start[-1]) + 1)}"
    return [str(row["source_key"]) for row in tx.all(sa.select(pairs.c.source_key).where(*inside))]


def _decide(tx: Tx, uuid: str, state: str, actor: str, reason: str) -> None:
    accounts.require(tx, actor, Action.RELEASE_PAIR)
    if not reason.strip():
        raise InvalidInput("This needs a reason.", "Say in a sentence why.")
    row = tx.one(sa.select(pairs.c.id, pairs.c.reasons).where(pairs.c.uuid == uuid))
    if row is None:
        raise NotFound("There is no such pair.", "Reload the page.")
    tx.move(pairs, PAIR, row["id"], state, decided_by=actor)
    kind = "pair.released" if state == "approved" else "pair.rejected"
    said = clean(reason.strip())
    tx.audit(actor, kind, uuid, {"reason": said, "was": list(row["reasons"])})


def read(tx: Tx, query: sa.Select[Any]) -> list[PreferencePair]:
    """The pairs that a query over the table gives, in its order."""
    return [
        PreferencePair(
            uuid=row["uuid"],
            prompt=row["prompt"],
            chosen=row["chosen"],
            rejected=row["rejected"],
            contributor=row["contributor"],
            at=row["at"],
            source=row["source"],
            licence=row["licence"],
            version=row["version"],
            weight=row["weight"],
            id=row["id"],
            consent=row["consent"],
            session=row["session"],
        )
        for row in tx.all(query)
    ]
