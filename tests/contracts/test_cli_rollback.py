"""`trimtab rollback`: through the database or the pointer, for everybody or for one segment."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.segments import Segment
from core.types import ModelVersion
from gateway import pointer
from store import apart, deployments, routes, versions
from store.routes import Route
from store.unit_of_work import Store
from tests.contracts.test_cli import Run, last, ready, run

__all__ = ["ready", "run"]


def test_a_rollback_without_an_earlier_version_says_so(ready: Run) -> None:
    result = ready("rollback", "--reason", "garbled", "--json")
    assert result.exit_code == 1
    assert "no earlier version" in last(result)["error"]


def test_a_rollback_of_a_segment_that_has_no_version_of_its_own_says_so(ready: Run) -> None:
    result = ready("rollback", "--segment", "plan=pro", "--reason", "garbled", "--json")
    assert result.exit_code == 1
    assert last(result)["error"] == "plan=pro has no version of its own."


@pytest.mark.parametrize("silent", [False, True])
def test_a_rollback_without_the_database_goes_through_the_pointer(run: Run, tmp_path: Path, silent: bool) -> None:
    """Whether the database refuses the connection or, as a machine that hangs, takes it and says nothing."""
    home = tmp_path / "home"
    route = Route("assistant", "assistant-v2", "adapter", "two", "assistant-v1", "adapter", "one", 7)
    pointer.remember(home / "routes.json", [route])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1] if silent else 1
        away = ("--set", f"database_url=postgresql+psycopg://nobody@127.0.0.1:{port}/nothing")
        began = time.monotonic()
        result = run(*away, "rollback", "--reason", "garbled", "--json")
    assert result.exit_code == 0, result.output
    assert time.monotonic() - began < 5.0
    assert last(result) == {"deployment": "assistant", "version": "assistant-v1", "through": "pointer"}
    told = pointer.read(home / "pointer.json")["assistant"]
    assert (told.version, told.generation, told.reason) == ("assistant-v1", 8, "garbled")
    assert told.actor.startswith("command-line:")


@pytest.mark.parametrize(
    ("only", "moved"), [("plan=pro", {"assistant@plan=pro"}), ("", {"assistant", "assistant@plan=pro"})]
)
def test_a_rollback_without_the_database_moves_a_segment_alone_or_everybody(
    run: Run, tmp_path: Path, only: str, moved: set[str]
) -> None:
    home = tmp_path / "home"
    names = ("assistant", "assistant@plan=pro")
    kept = [Route(name, "assistant-v2", "adapter", "two", "assistant-v1", "adapter", "one", 7) for name in names]
    pointer.remember(home / "routes.json", kept)
    away = ("--set", "database_url=postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    result = run(*away, "rollback", "--reason", "garbled", "--json", *(("--segment", only) if only else ()))
    assert result.exit_code == 0, result.output
    told = pointer.read(home / "pointer.json")
    assert {name: (one.version, one.generation) for name, one in told.items()} == dict.fromkeys(
        moved, ("assistant-v1", 8)
    )


def test_a_rollback_without_the_database_to_a_version_that_nobody_can_load_is_refused(run: Run, tmp_path: Path) -> None:
    """The gateway would wait for it for ever and go on serving what was to be left, and the operator would not know."""
    home = tmp_path / "home"
    route = Route("assistant", "assistant-v2", "adapter", "two", "assistant-v1", "adapter", "one", 7)
    pointer.remember(home / "routes.json", [route])
    away = ("--set", "database_url=postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    result = run(*away, "rollback", "--to", "asistant-v1", "--reason", "garbled", "--json")
    assert result.exit_code == 1
    assert "is not known here" in last(result)["error"]
    assert "Known are: assistant-v1, assistant-v2." in result.output
    assert pointer.read(home / "pointer.json") == {}


def test_a_rollback_takes_segments_along(ready: Run, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'home' / 'trimtab.db'}")
    now = datetime.now(UTC)
    with store.write(now) as tx:
        for number in (1, 2):
            name = f"assistant-v{number}"
            versions.register(
                tx, ModelVersion(name, str(number) * 64, "remote", "chat", name, now), actor="system:test"
            )
        for name in ("assistant-v1", "assistant-v2"):
            deployments.request_promotion(tx, "assistant", name, actor="ann", reason="Better.")
            deployments.flip(tx, deployments.requested(tx)[-1]["id"], actor="ann")
        apart.set_apart(tx, "assistant", Segment("plan", "pro"), actor="ann")
    assert last(ready("rollback", "--reason", "garbled", "--json"))["version"] == "assistant-v1"
    with store.read() as tx:
        assert {row.deployment: row.version for row in routes.listed(tx)} == {
            "assistant": "assistant-v1",
            "assistant@plan=pro": "assistant-v1",
        }
    store.close()
