"""POST /v1/feedback: thumbs, ratings, choices and corrections, answered only once they are committed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from core.errors import Unavailable
from core.types import Feedback
from gateway.auth import Caller
from gateway.context import Gateway
from gateway.errors import Invalid
from gateway.otlp.exchanges import exchange_id
from gateway.web import Web

KINDS = ("thumb", "rating", "choice", "correction")
LONGEST_TEXT, LONGEST_COMMENT, LONGEST_NAME = 65_536, 4_096, 256
COMMIT_SECONDS = 5.0
PREFIX = "chatcmpl-"
# An exchange that came in as a span is named by its trace's and its own id.
SPAN = re.compile(r"[0-9a-fA-F]{32}:[0-9a-fA-F]{16}")


async def give_feedback(gateway: Gateway, web: Web, caller: Caller) -> None:
    """Record one piece of feedback; 200 means that it is on disk. An `id` makes sending it again harmless."""
    body = await web.read_object(gateway.settings.gateway.max_body_bytes)
    item = read_feedback(body, now=gateway.now())
    done = asyncio.wrap_future(gateway.capture.acknowledge(item))
    try:
        new = await asyncio.wait_for(done, COMMIT_SECONDS)
    except TimeoutError:
        raise Unavailable("The store does not take feedback now.", "Send it again with the same id.") from None
    told = {"id": item.uuid, "object": "feedback", "inference": item.inference, "kind": item.kind, "new": new}
    await web.reply(200, json.dumps(told).encode(), {"content-type": "application/json"})


def read_feedback(body: Mapping[str, Any], *, now: datetime) -> Feedback:
    """The feedback in `body`. Raises Invalid that names the field."""
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise _wrong("kind", f"must be one of {', '.join(KINDS)}")
    value = _value(kind, body.get("value"))
    chosen, rejected = _text(body, "chosen", LONGEST_TEXT), _text(body, "rejected", LONGEST_TEXT)
    if kind == "choice" and not (chosen and rejected):
        raise _wrong("chosen and rejected", "must both be texts for a choice")
    if kind == "correction" and not chosen:
        raise _wrong("chosen", "must be the corrected answer")
    if kind in ("choice", "correction") and chosen == rejected:
        raise _wrong("chosen and rejected", "must differ")
    return Feedback(
        uuid=_uuid(body, "id") if body.get("id") is not None else str(uuid4()),
        at=now,
        kind=kind,  # type: ignore[arg-type]
        inference=_uuid(body, "inference"),
        value=value,
        chosen=chosen,
        rejected=rejected,
        comment=_text(body, "comment", LONGEST_COMMENT),
        contributor=_text(body, "contributor", LONGEST_NAME),
    )


def _value(kind: str, value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "thumb":
        if not number or value not in (-1, 1):
            raise _wrong("value", "must be 1 or -1 for a thumb")
        return float(value)
    if kind == "rating":
        if not number or not 0 <= value <= 1:
            raise _wrong("value", "must be a number from 0 to 1 for a rating")
        return float(value)
    if value is not None:
        raise _wrong("value", f"does not belong to a {kind}")
    return None


def _uuid(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if name == "inference" and isinstance(value, str) and SPAN.fullmatch(value):
        return exchange_id(*value.lower().split(":"))
    if isinstance(value, str) and len(value) <= 64:
        try:
            return str(UUID(value.removeprefix(PREFIX)))
        except ValueError:
            pass
    raise _wrong(name, "must be the id that a chat answer carried" if name == "inference" else "must be a UUID")


def _text(body: Mapping[str, Any], name: str, longest: int) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > longest:
        raise _wrong(name, f"must be a text of up to {longest} characters")
    return value


def _wrong(name: str, what: str) -> Invalid:
    return Invalid(f"{name} {what}.", param=name)
