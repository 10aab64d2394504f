"""The audit chain's form: what an event is, how its hash is made, and how a chain is checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64


def canonical(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values give equal text. NaN is refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """The SHA-256 of the canonical JSON of `value`, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One link: `id` counts from 1 without gaps, `at` is microseconds since 1970 (UTC), `previous` the hash before."""

    id: int
    at: int
    actor: str
    kind: str
    subject: str
    body: Mapping[str, Any]
    previous: str
    hash: str


def link(id: int, at: int, actor: str, kind: str, subject: str, body: Mapping[str, Any], previous: str) -> str:
    """The hash of an event that follows one whose hash is `previous`."""
    return digest(
        {
            "id": id,
            "at": at,
            "actor": actor,
            "kind": kind,
            "subject": subject,
            "body": body,
            "previous": previous,
        }
    )


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """The outcome of a check: `count` events read; `bad` is the id of the first wrong one, or None."""

    count: int
    bad: int | None
    reason: str
    head: str


def check(events: Iterable[AuditEvent], *, expected_count: int | None = None) -> ChainCheck:
    """Walk a chain from its first event and name the first that does not fit.

    `expected_count` (from a count kept elsewhere) makes a cut tail visible, which no chain shows by itself.
    """
    previous, count = GENESIS, 0
    for event in events:
        if event.id != count + 1:
            return ChainCheck(count, event.id, f"event {count + 1} is missing or out of order", previous)
        if event.previous != previous:
            return ChainCheck(count, event.id, "does not follow the event before it", previous)
        made = link(event.id, event.at, event.actor, event.kind, event.subject, event.body, event.previous)
        if made != event.hash:
            return ChainCheck(count, event.id, "its content was changed", previous)
        previous, count = event.hash, count + 1
    if expected_count is not None and expected_count != count:
        return ChainCheck(count, count + 1, f"{expected_count} events were written, {count} are left", previous)
    return ChainCheck(count, None, "every event follows the one before it", previous)
