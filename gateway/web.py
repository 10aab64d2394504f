"""One HTTP exchange over ASGI: what an endpoint reads from it and writes to it, without a layer between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from gateway.bodies import Gone, Receive, read_bytes, read_object

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
DRAIN_BYTES, DRAIN_SECONDS = 16 * 1024 * 1024, 2.0


class Web:
    """A request and the response to it."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.status = 0
        self._scope, self._receive, self._send = scope, receive, send
        self._read = False

    @property
    def started(self) -> bool:
        """Whether the response has begun."""
        return self.status != 0

    def header(self, name: str) -> str:
        """A request header, or an empty text."""
        return self.headers.get(name.encode(), b"").decode("latin-1")

    def query(self, name: str) -> str:
        """A query parameter, or an empty text."""
        found = parse_qs(self._scope.get("query_string", b"").decode("latin-1")).get(name)
        return found[0] if found else ""

    async def read_object(self, limit: int) -> dict[str, Any]:
        """The JSON object in the body; see gateway.bodies."""
        return await read_object(self._next, self.headers, limit)

    async def read_bytes(self, limit: int) -> bytes:
        """The body, unpacked; see gateway.bodies."""
        return await read_bytes(self._next, self.headers, limit)

    async def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A whole response."""
        await self._begin(status, {**headers, "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body})

    async def begin_events(self, headers: Mapping[str, str]) -> None:
        """The head of a streamed response."""
        fixed = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
        }
        await self._begin(200, {**fixed, **headers})

    async def send(self, part: bytes, *, last: bool = False) -> None:
        """A part of a streamed response."""
        await self._send({"type": "http.response.body", "body": part, "more_body": not last})

    async def drain(self) -> None:
        """Read away what is left of the body, within bounds, so that the client gets to read a refusal."""
        size = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while size < DRAIN_BYTES and not self._read:
                    size += len((await self._next()).get("body", b""))
        except TimeoutError:
            return

    async def left(self) -> None:
        """Return when the client is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._read = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def _begin(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


__all__ = ["Gone", "Web"]
