"""The channels: one a file. A channel says whether an error is worth retrying; the outbox owns the back-off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from core.errors import InvalidInput, NotFound
from core.ports import Channel
from core.registry import Registry


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


def require_text(config: Mapping[str, Any], name: str, kind: str) -> str:
    """The text under `name`. Raises InvalidInput when it is missing."""
    value = config.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"A channel of kind {kind} needs {name}.", f"Give {name}=... with it.")
    return value.strip()
