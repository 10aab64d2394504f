"""Copies of live requests for a candidate in shadow: captured, shown to nobody, given up at the first sign of load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.capture import Capture
from gateway.draw import drawn, unit_of
from gateway.errors import tell
from gateway.router import Router

if TYPE_CHECKING:
    from gateway.chat import Exchange

# With more chats under way the copy would take its place in the server's batch from somebody who waits.
BUSY = 4


@dataclass(slots=True)
class Copies:
    """What became of requests that might have been copied."""

    answered: int = 0
    failed: int = 0
    skipped: int = 0


class Shadow:
    """One copy at a time, at most `per_minute`. `draw` names a capture, `now` gives the time, `tick` seconds."""

    def __init__(
        self,
        router: Router,
        capture: Capture,
        *,
        per_minute: int,
        timeout_seconds: float,
        draw: Callable[[], str],
        now: Callable[[], datetime],
        tick: Callable[[], float],
    ) -> None:
        self.counts = Copies()
        self._router, self._capture = router, capture
        self._between = 60.0 / per_minute if per_minute > 0 else float("inf")
        self._timeout, self._draw, self._now, self._tick = timeout_seconds, draw, now, tick
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None

    def offer(self, exchange: Exchange, answering: int) -> bool:
        """Copy the answered `exchange` if its deployment has a shadow and there is room; never waits.

        `answering` is the number of chats under way. Returns whether a copy was begun.
        """
        served = self._router.served.get(exchange.deployment)
        if served is None or served.trial != "shadow":
            return False
        call = exchange.call
        if not drawn(served.salt, unit_of(call.user, exchange.conversation, exchange.uuid), served.share or 100):
            return False
        running = self._task is not None and not self._task.done()
        if running or answering > BUSY or self._tick() < self._next or not self._router.ready(served.candidate):
            self.counts.skipped += 1
            return False
        self._next = self._tick() + self._between
        copy = replace(
            exchange,
            call=replace(call, stream=False),
            version=served.candidate,
            kind="shadow",
            at=self._now(),
            begun=self._tick(),
            uuid=self._draw(),
            texts=[],
            first=None,
            finish_reason="",
            prompt_tokens=0,
            completion_tokens=0,
        )
        self._task = asyncio.create_task(self._answer(copy))
        return True

    async def stop(self) -> None:
        """Give up the copy under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _answer(self, copy: Exchange) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                async with aclosing(self._router.answer(copy.request())) as pieces:
                    async for piece in pieces:
                        copy.take(piece, self._tick())
            self.counts.answered += 1
        except Exception as error:
            told = tell(error)
            copy.status, copy.error = told.status, told.message
            self.counts.failed += 1
        copy.ended = self._tick()
        self._capture.keep(copy.row())
