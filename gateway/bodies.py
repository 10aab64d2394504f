"""Reads a request's body, JSON mostly, within a limit that also holds after decompression."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.errors import Invalid

READ_SECONDS = 30.0
GZIP = 31  # zlib's window bits for gzip
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Gone(Exception):
    """The client left before its request was read."""


async def read_object(receive: Receive, headers: dict[bytes, bytes], limit: int) -> dict[str, Any]:
    """The JSON object in the body. Raises Invalid: 400 malformed, and what read_bytes raises."""
    return parse(await read_bytes(receive, headers, limit))


async def read_bytes(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The body, unpacked. Raises Invalid: 400 no gzip, 408 too slow, 413 too large, 415 unknown encoding."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and len(length) < 20 and int(length) > limit:
        raise too_large(limit)
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"", b"gzip"):
        raise Invalid(
            "This content encoding is not supported.", "Send it plain or as gzip.", code="encoding", status=415
        )
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await _read(receive, limit)
    except TimeoutError:
        raise Invalid("The request came too slowly.", "Send it again.", code="timeout", status=408) from None
    return inflate(body, limit) if encoding == b"gzip" else body


async def _read(receive: Receive, limit: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def inflate(body: bytes, limit: int) -> bytes:
    """`body` unpacked from gzip, never holding more than `limit` bytes. Raises Invalid."""
    parts, size, rest = [], 0, body
    while rest:
        unpacker = zlib.decompressobj(GZIP)
        try:
            part = unpacker.decompress(rest, limit - size + 1)
        except zlib.error:
            raise Invalid("The body is not gzip.", "Send it plain or as gzip.", code="encoding") from None
        size += len(part)
        if size > limit:
            raise too_large(limit)
        if not unpacker.eof:
            raise Invalid("The gzip body is cut off.", "Send it whole.", code="encoding")
        parts.append(part)
        rest = unpacker.unused_data
    return b"".join(parts)


def parse(body: bytes) -> dict[str, Any]:
    """`body` as a JSON object of valid Unicode without NaN. Raises Invalid."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
        if b"\\u" in body:
            # JSON can spell half a surrogate pair, which no UTF-8 can carry on.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.", "Send a JSON object.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise Invalid("The body is not a JSON object.", "Send a JSON object.", code="invalid_json")
    return value


def too_large(limit: int) -> Invalid:
    """The refusal of a body above `limit` bytes."""
    return Invalid(f"The request is larger than {limit} bytes.", "Send less.", code="request_too_large", status=413)


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
