"""Who may call: API keys read from the store, remembered for seconds; without the store no unknown key is let in."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import TrimtabError, Unavailable
from store import keys
from store.unit_of_work import Store

CACHE_SECONDS = 3.0
REFUSED_SECONDS = 1.0
ASK_SECONDS = 2.0
AWAY_SECONDS = 1.0
OUTAGE_SECONDS = 900.0
MOST_REMEMBERED = 10_000
LONGEST_KEY = 200


class BadKey(TrimtabError):
    """No key, or one that is wrong or revoked."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is: the key's prefix for logs, and what it may do."""

    name: str
    scope: str

    @property
    def internal(self) -> bool:
        """Whether it is one of Trimtab's own processes."""
        return self.scope == keys.INTERNAL


OPEN = Caller("open", "chat")


class Keyring:
    """Checks keys. `tick` is a monotonic clock in seconds."""

    def __init__(self, store: Store, internal_key: str, *, open_access: bool, tick: Callable[[], float]) -> None:
        self._store, self._internal, self._open, self._tick = store, internal_key.encode(), open_access, tick
        self._proved: dict[str, tuple[float, Caller]] = {}
        self._refused: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[Caller | None]] = {}
        self._away_until = 0.0

    async def identify(self, header: str) -> Caller:
        """The caller behind an Authorization header. Raises BadKey, or Unavailable when that cannot be told now.

        A key proved less than CACHE_SECONDS ago is taken without asking: a revoked one ends within that time. While
        the store is away a key that it proved within OUTAGE_SECONDS stays good, and no other is let in.
        """
        scheme, _, key = header.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or len(key) > LONGEST_KEY:
            if self._open and not header:
                return OPEN
            raise BadKey("There is no API key in this request.", "Send Authorization: Bearer with a key.")
        if self._internal and hmac.compare_digest(key.encode("utf-8", "replace"), self._internal):
            return Caller("internal", keys.INTERNAL)
        hashed, now = keys.hash_key(key), self._tick()
        proved = self._proved.get(hashed)
        if proved is not None and now - proved[0] < CACHE_SECONDS:
            return proved[1]
        if hashed in self._refused and now - self._refused[hashed] < REFUSED_SECONDS:
            raise _wrong()
        try:
            caller = await self._ask(hashed)
        except Unavailable:
            if proved is not None and now - proved[0] < OUTAGE_SECONDS:
                return proved[1]
            raise
        if caller is None:
            self._proved.pop(hashed, None)
            _make_room(self._refused)
            self._refused[hashed] = now
            raise _wrong()
        _make_room(self._proved)
        self._proved[hashed] = (now, caller)
        return caller

    async def _ask(self, hashed: str) -> Caller | None:
        """Ask the store once for all who wait on the same key; one that is silent is left alone for a moment."""
        if self._tick() < self._away_until:
            raise Unavailable("Keys cannot be checked now.", "Try again in a few seconds.")
        task = self._asking.get(hashed)
        if task is None:
            task = self._asking[hashed] = asyncio.create_task(asyncio.to_thread(self._look_up, hashed))
            task.add_done_callback(lambda done: self._asked(hashed, done))
        try:
            return await asyncio.wait_for(asyncio.shield(task), ASK_SECONDS)
        except (TimeoutError, Unavailable):
            self._away_until = self._tick() + AWAY_SECONDS
            raise Unavailable("Keys cannot be checked now.", "Try again in a few seconds.") from None

    def _asked(self, hashed: str, task: asyncio.Task[Caller | None]) -> None:
        self._asking.pop(hashed, None)
        if not task.cancelled():
            task.exception()  # read, so that an outage nobody waited for any more is not logged as forgotten

    def _look_up(self, hashed: str) -> Caller | None:
        with self._store.read() as tx:
            row = keys.find_hash(tx, hashed)
        return None if row is None else Caller(str(row["prefix"]), str(row["scope"]))


def _wrong() -> BadKey:
    return BadKey("This API key is wrong or was revoked.", "Ask an admin for a new one.")


def _make_room(memory: dict[str, Any]) -> None:
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()
