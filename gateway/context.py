"""What the endpoints share, put together once by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from core.ports import Server
from core.settings import Settings
from gateway.auth import Keyring
from gateway.capture import Capture
from gateway.exposition import Meters
from gateway.router import Router
from store.unit_of_work import Store


@dataclass(slots=True)
class Gateway:
    """The parts of a running gateway. `now` gives the time, `tick` monotonic seconds, `tell` prints an event."""

    settings: Settings
    store: Store
    server: Server
    router: Router
    keyring: Keyring
    capture: Capture
    now: Callable[[], datetime]
    tick: Callable[[], float]
    tell: Callable[[str], None]
    meters: Meters = field(default_factory=Meters)
    answering: int = 0
