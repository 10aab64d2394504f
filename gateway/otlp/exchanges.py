"""A chat's span as a captured exchange."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from core.types import Inference
from gateway.openai import LONGEST_LABEL, LONGEST_LABEL_NAME, LONGEST_NAME, MOST_LABELS
from gateway.otlp.conventions import number, read_chat, text
from gateway.otlp.spans import Span

SOURCE = UUID("5a1de0d8-0a0c-4f44-9d7b-3d1c7a5d0b6e").bytes
LABEL = "trimtab.label."
AHEAD = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def exchange_id(trace_id: str, span_id: str) -> str:
    """The uuid (version 5) under which a span's exchange is known: the same each time it is sent. Both ids are hex."""
    # As uuid.uuid5 makes it, in a fifth of the time: it is made for every span.
    made = hashlib.sha1(SOURCE + f"{trace_id}:{span_id}".encode(), usedforsecurity=False).hexdigest()
    return f"{made[:8]}-{made[8:12]}-5{made[13:16]}-{int(made[16], 16) & 3 | 8:x}{made[17:20]}-{made[20:32]}"


def read_exchange(span: Span, *, deployment: str, now: datetime) -> Inference | None:
    """The exchange, of traffic that was answered elsewhere; None where the span does not record what was said.

    A time of over an hour ahead of `now`, or none, becomes `now`: a wrong clock would hide all that comes after.
    """
    messages, answer, ending = read_chat(span)
    if not messages:
        return None
    told = span.attributes
    seconds = number(told, "gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
    first = None if seconds is None else seconds * 1e3
    took = (span.ended - span.started) / 1e6 if 0 < span.started <= span.ended else None
    asked = next((m["content"] for m in reversed(messages) if m["role"] == "user"), messages[-1]["content"])
    return Inference(
        uuid=exchange_id(span.trace_id, span.span_id),
        at=_moment(span.started or span.ended, now),
        deployment=deployment,
        version=text(
            told, "gen_ai.response.model", "llm.response.model_name", "gen_ai.request.model", "llm.model_name"
        )[:LONGEST_NAME],
        kind="import",
        messages=messages,
        prompt=asked,
        response=answer,
        status=500 if span.failed else 200,
        error=_error(span) if span.failed else "",
        finish_reason=ending[:LONGEST_NAME],
        prompt_tokens=_count(told, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
        completion_tokens=_count(
            told, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"
        ),
        latency_ms=took,
        first_token_ms=first,
        conversation=text(told, "gen_ai.conversation.id", "session.id")[:LONGEST_NAME],
        user=text(told, "user.id", "enduser.id", "enduser.pseudo.id")[:LONGEST_NAME],
        labels=_labels(span),
    )


def _error(span: Span) -> str:
    """The kind of failure, never its message, which may hold what was said."""
    raised = next((attributes for name, attributes in span.events if name == "exception"), {})
    return (text(span.attributes, "error.type") or text(raised, "exception.type") or "error")[:LONGEST_NAME]


def _count(told: Mapping[str, Any], *names: str) -> int:
    found = number(told, *names)
    return int(found) if found is not None and found < 2**31 else 0


def _moment(nanoseconds: int, now: datetime) -> datetime:
    try:
        at = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return now
    return at if nanoseconds > 0 and at <= now + AHEAD else now


def _labels(span: Span) -> dict[str, str]:
    """Segments: the service's name, and attributes `trimtab.label.NAME` of the resource or the span."""
    service = span.resource.get("service.name")
    labels = {"service": service[:LONGEST_LABEL]} if isinstance(service, str) and service else {}
    for told in (span.resource, span.attributes):
        for name, value in told.items():
            if name.startswith(LABEL) and isinstance(value, str) and len(labels) < MOST_LABELS:
                labels[name.removeprefix(LABEL)[:LONGEST_LABEL_NAME]] = value[:LONGEST_LABEL]
    return labels
