"""A child that an earlier worker had asked to end goes on from its checkpoint: that is no crash of the run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict
from retrain.child import Child, ChildDied
from retrain.engines import DONE, GONE, RUNNING


class Held:
    """A run in a worker's hands, of which only the job is known."""

    uuid = "run"

    def __init__(self) -> None:
        self.row = {"job": "run/1"}
        self.stop_asked = asyncio.Event()

    async def last_line(self) -> int:
        return 0

    async def progress(self, latest: Any, lines: Any = ()) -> None:
        """Nobody looks."""

    async def note(self, **values: Any) -> None:
        self.row |= values


class Engine:
    """Has the job of a worker that is gone; that ends with `last`, and the next one leaves its result."""

    def __init__(self, folder: Path, last: str) -> None:
        self.folder, self.last, self.asked = folder, last, 0

    def list(self) -> Sequence[str]:
        return ["run/1"] if not self.asked else []

    def status(self, job: str) -> str:
        if job == "run/2":
            (self.folder / "result").touch()
            return DONE
        self.asked += 1
        if self.asked == 1:
            return RUNNING
        with (self.folder / "progress.jsonl").open("a") as stream:
            stream.write(json.dumps({"event": self.last}) + "\n")
        return GONE

    def submit(self, run: str, folder: Path, argv: Sequence[str]) -> str:
        return "run/2"

    def log(self, job: str, tail: int = 50) -> str:
        return ""


class Slow(Engine):
    """Has a job whose start was never recorded, which waits for room and ends some time after it was asked to."""

    def list(self) -> Sequence[str]:
        return ["run/1"] if self.asked < 3 else []

    def stop(self, job: str, grace_seconds: float) -> None:
        self.asked += 1

    def submit(self, run: str, folder: Path, argv: Sequence[str]) -> str:
        if self.asked < 3:
            raise Conflict("The run already has a job on the cluster.", "Stop it first.")
        return "run/2"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrain.child.POLL_SECONDS", 0.001)
    monkeypatch.setattr("retrain.child.PATIENT_POLL_SECONDS", 0.001)


def run(folder: Path, last: str, kind: type[Engine] = Engine, job: str = "run/1") -> dict[str, str]:
    async def follow() -> dict[str, str]:
        held: Any = Held()
        held.row["job"] = job
        (folder / "progress.jsonl").write_text('{"event": "start"}\n{"event": "step", "step": 3}\n')
        await Child(kind(folder, last), held, folder, ending=asyncio.Event()).run("module", "result")
        return dict(held.row)

    return asyncio.run(follow())


@pytest.mark.parametrize("last", ["stopped", "adapt_stopped"])
def test_a_child_that_was_found_and_stopped_goes_on(tmp_path: Path, last: str) -> None:
    assert run(tmp_path, last) == {"job": "run/2"}


def test_a_child_that_was_found_and_died_is_a_crash(tmp_path: Path) -> None:
    with pytest.raises(ChildDied):
        run(tmp_path, "step")


def test_a_job_that_was_never_recorded_and_waits_for_room_is_no_crash(tmp_path: Path) -> None:
    assert run(tmp_path, "step", Slow, job="") == {"job": "run/2"}
