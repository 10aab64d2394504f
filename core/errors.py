"""Errors a person can act on: each names the thing and the remedy in plain sentences."""

from __future__ import annotations


class TrimtabError(Exception):
    """An expected failure. `message` names the thing, `remedy` says what to do; neither holds a secret."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message} {remedy}".strip())


class InvalidInput(TrimtabError):
    """The caller sent something that cannot be taken."""

    exit_code = 2


class NotFound(TrimtabError):
    """The named thing does not exist."""


class Conflict(TrimtabError):
    """Somebody was faster, or the thing has moved on since it was shown."""


class IllegalMove(Conflict):
    """A state machine refuses the move."""


class Forbidden(TrimtabError):
    """The actor's role does not allow this."""


class Unavailable(TrimtabError):
    """A part that is needed does not answer now; trying again later may work."""
