"""The channels: one a file. A channel says whether an error is worth retrying; the outbox owns the back-off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from core.errors import InvalidInput, NotFound
from core.ports import Channel
from core.registry import Registry

Done = TypeVar("Done")


class Retry(Exception):
    """Sending failed in a way that may pass. `after_seconds` is what the receiver asked for, if it did."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Rejected(Exception):
    """Sending failed in a way that trying again cannot help."""


class Checked(Channel, Protocol):
    """A channel that can look at its configuration before it is saved."""

    def check(self, config: Mapping[str, Any], *, allow_private: bool) -> None: ...


channels: Registry[type[Checked]] = Registry("channel", "monitors.channels")


def check(kind: str, config: Mapping[str, Any], *, allow_private: bool) -> None:
    """Raise InvalidInput, naming the remedy, when a channel of `kind` could not work with `config`."""
    try:
        made = channels.get(kind)()
    except NotFound as error:
        raise InvalidInput(error.message, error.remedy) from None
    made.check(config, allow_private=allow_private)


async def do_apart(work: Callable[[], Done]) -> Done:
    """What `work` returns, done in a thread of its own: a service or a name server that hangs would else hold those
    that the process shares, and with them its pulse and every other channel."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="channel")
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        thread.shutdown(wait=False)


def require_text(config: Mapping[str, Any], name: str, kind: str) -> str:
    """The text under `name`. Raises InvalidInput when it is missing."""
    value = config.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"A channel of kind {kind} needs {name}.", f"Give {name}=... with it.")
    return value.strip()
