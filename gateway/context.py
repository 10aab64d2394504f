"""What the endpoints share, put together once by the composition root."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from core.ports import Server
from core.settings import Settings
from gateway.auth import Keyring
from gateway.capture import Capture
from gateway.conversations import Conversations
from gateway.exposition import Meters
from gateway.router import Router
from gateway.shadow import Shadow
from store.unit_of_work import Store


class Names:
    """Random UUIDs, drawn from the system's randomness a block at a time.

    Each call for it gives up the interpreter to the writer thread, which at a busy moment costs more than the answer.
    """

    def __init__(self) -> None:
        self._block, self._used = b"", 0

    def draw(self) -> str:
        """A new UUID (version 4)."""
        if self._used + 16 > len(self._block):
            self._block, self._used = os.urandom(4096), 0
        drawn = self._block[self._used : self._used + 16]
        self._used += 16
        return str(UUID(bytes=drawn, version=4))


@dataclass(slots=True)
class Gateway:
    """The parts of a running gateway. `now` gives the time, `tick` monotonic seconds, `tell` prints an event."""

    settings: Settings
    store: Store
    server: Server
    router: Router
    keyring: Keyring
    capture: Capture
    shadow: Shadow
    now: Callable[[], datetime]
    tick: Callable[[], float]
    tell: Callable[[str], None]
    names: Names
    meters: Meters = field(default_factory=Meters)
    conversations: Conversations = field(default_factory=Conversations)
    answering: int = 0
