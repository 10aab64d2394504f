"""What a process does again and again goes on whatever a turn raises, tells of it once, and no faster than need be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

import pytest

from core.errors import Conflict, InvalidInput, TrimtabError, Unavailable
from monitors import turns


@pytest.fixture
def logged() -> Iterator[list[logging.LogRecord]]:
    """What goes to the log meanwhile."""
    records: list[logging.LogRecord] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keeps()
    turns.log.addHandler(handler)
    yield records
    turns.log.removeHandler(handler)


def run(monkeypatch: pytest.MonkeyPatch, outcomes: list[str | Exception]) -> tuple[list[str], list[float]]:
    """A turn an outcome: what was told, and how long was waited after each turn."""
    told: list[str] = []
    waited: list[float] = []
    left: Iterator[str | Exception] = iter(outcomes)

    async def work() -> str:
        found = next(left, None)
        if found is None:
            raise asyncio.CancelledError
        if isinstance(found, Exception):
            raise found
        return found

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(turns.asyncio, "sleep", sleep)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(turns.repeat(work, 1.0, tell=told.append))
    return told, waited


def test_what_nobody_foresaw_ends_no_loop_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, logged: list[logging.LogRecord]
) -> None:
    told, waited = run(monkeypatch, [KeyError("x"), KeyError("x"), "sent 1 notice", KeyError("x")])
    failed = "a turn failed with KeyError and is tried again; the log has the details"
    assert told == [failed, "sent 1 notice", failed]
    assert waited == [5.0, 5.0, 1.0, 5.0]
    assert len(logged) == 2 and logged[0].exc_info


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (Unavailable("The database does not answer."), 1.0),
        (Conflict("Somebody was faster."), 1.0),
        (InvalidInput("It will be wrong again."), 5.0),
    ],
)
def test_what_may_pass_by_itself_is_tried_again_as_ever(
    monkeypatch: pytest.MonkeyPatch, logged: list[logging.LogRecord], error: TrimtabError, pause: float
) -> None:
    told, waited = run(monkeypatch, [error, error, ""])
    assert (told, waited) == ([f"waiting: {error}"], [pause, pause, 1.0])
    assert not logged
