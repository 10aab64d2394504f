"""POST /v1/traces: OTLP/HTTP. Spans of chats become captured exchanges, answered only once they are committed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import Unavailable
from core.types import Inference
from gateway.auth import Caller
from gateway.context import Gateway
from gateway.errors import Invalid
from gateway.otlp.conventions import is_chat
from gateway.otlp.exchanges import read_exchange
from gateway.otlp.spans import JSON, PROTOBUF, Span, read_json, read_protobuf
from gateway.web import Web

COMMIT_SECONDS = 10.0
# After so many spans chats get their turn: a batch may take longer to read than a chat may wait.
AT_ONCE = 32


@dataclass(slots=True)
class Taken:
    """What became of a batch: exchanges, chats whose messages are not recorded, and chats without valid ids."""

    rows: list[Inference]
    silent: int = 0
    nameless: int = 0

    @property
    def words(self) -> str:
        """What the sender should know, or an empty text."""
        told = []
        if self.silent:
            told.append(
                f"{self.silent} chat spans record no messages and were left out: switch on the capture of content in "
                "the instrumentation"
            )
        if self.nameless:
            told.append(f"{self.nameless} chat spans have no valid trace and span id")
        return "; ".join(told)


async def take_traces(gateway: Gateway, web: Web, caller: Caller) -> None:
    """Keep the chats among the spans. Sending a batch again is harmless; spans of other things are passed over."""
    kind = web.header("content-type").partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise Invalid(f"Spans come as {PROTOBUF} or {JSON}.", "Use OTLP over HTTP.", code="content_type", status=415)
    body = await web.read_bytes(gateway.settings.gateway.max_traces_bytes)
    try:
        taken = await read_batch(read_protobuf(body) if kind == PROTOBUF else read_json(body), gateway)
    except ValueError as error:
        raise Invalid(f"The body cannot be read: {error}.", "Send OTLP/HTTP.", code="invalid_traces") from None
    if taken.rows:
        await commit(gateway, taken.rows)
    await web.reply(200, answer(kind, taken), {"content-type": kind})


async def read_batch(spans: Iterator[Span], gateway: Gateway) -> Taken:
    """The exchanges among the spans, reading some at a time."""
    taken, now = Taken([]), gateway.now()
    for place, span in enumerate(spans):
        if place % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        if not is_chat(span):
            continue
        if not int(span.trace_id or "0", 16) or not int(span.span_id or "0", 16):
            taken.nameless += 1
            continue
        row = read_exchange(span, deployment=gateway.settings.deployment, now=now)
        if row is None:
            taken.silent += 1
        else:
            taken.rows.append(row)
    return taken


async def commit(gateway: Gateway, rows: list[Inference]) -> None:
    """Return when they are on disk, some hundreds a commit. Raises Unavailable where that cannot be: what was written
    by then is known again when the batch is sent again."""
    portion = gateway.capture.portion
    for start in range(0, len(rows), portion):
        done = asyncio.wrap_future(gateway.capture.acknowledge_rows(rows[start : start + portion]))
        try:
            await asyncio.wait_for(done, COMMIT_SECONDS)
        except TimeoutError:
            raise Unavailable("The store does not take spans now.", "Send the batch again.") from None


def answer(kind: str, taken: Taken) -> bytes:
    """An ExportTraceServiceResponse. Only spans without ids count as rejected: senders report those as lost."""
    if kind == JSON:
        told = {"rejectedSpans": str(taken.nameless), "errorMessage": taken.words}
        return json.dumps({"partialSuccess": told} if taken.words else {}).encode()
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    response = ExportTraceServiceResponse()
    if taken.words:
        response.partial_success.rejected_spans = taken.nameless
        response.partial_success.error_message = taken.words
    data: bytes = response.SerializeToString()
    return data
