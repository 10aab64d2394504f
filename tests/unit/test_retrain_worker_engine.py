"""The local engine: a job is its process and start time, stopped with grace, and never mistaken for another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import Conflict, Unavailable
from retrain.engines import DONE, ENGINES, FAILED, GONE, RUNNING, STOPPED
from retrain.engines.local import Local

RUN = "0b0e7a52-1f6d-4a5e-9a53-2b1d5e2f9a10"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(p.pid, flush=True); time.sleep(60)"
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Local]:
    (tmp_path / RUN).mkdir()
    made = Local(tmp_path)
    yield made
    for job in made.list():
        made.stop(job, 0.0)


def start(engine: Local, code: str) -> str:
    return engine.submit(RUN, engine.root / RUN, [sys.executable, "-c", code, str(engine.root / RUN)])


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("code", "status"), [(0, DONE), (75, STOPPED), (2, FAILED), (1, FAILED)])
def test_exit_codes_become_states(engine: Local, code: int, status: str) -> None:
    job = start(engine, f"raise SystemExit({code})")
    until(lambda: engine.status(job) != RUNNING)
    assert engine.status(job) == status
    assert engine.list() == []


def test_a_run_has_one_process(engine: Local) -> None:
    job = start(engine, "import time; time.sleep(60)")
    assert engine.list() == [job]
    with pytest.raises(Conflict, match="already has a process"):
        start(engine, "pass")


def test_another_worker_finds_the_process_and_stops_it(engine: Local) -> None:
    job = start(engine, "import time; time.sleep(60)")
    other = Local(engine.root)
    assert other.list() == [job]
    assert other.status(job) == RUNNING
    os.killpg(int(job.partition("/")[2]), signal.SIGTERM)
    until(lambda: engine.status(job) == FAILED)
    assert other.status(job) == GONE


def test_a_start_that_was_never_recorded_is_found_by_its_arguments(
    engine: Local, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path_factory.mktemp("modules")
    (modules / "sleeper.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(modules))
    job = engine.submit(RUN, engine.root / RUN, [sys.executable, "-m", "sleeper", str(engine.root / RUN)])
    (engine.root / RUN / "job.json").unlink()
    with pytest.raises(Conflict):
        start(engine, "import time; time.sleep(60)")
    other = Local(engine.root)
    assert (list(other.list()), other.status(job)) == ([job], RUNNING)
    other.stop(job, 5.0)
    until(lambda: engine.status(job) != RUNNING)
    assert other.list() == []


def test_what_a_person_does_with_a_run_s_folder_is_no_job(engine: Local) -> None:
    """A shell makes each command the leader of a group of its own, as a worker does a child."""
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(engine.root / RUN)]
    with subprocess.Popen(command, start_new_session=True) as mine:
        until(lambda: psutil.Process(mine.pid).cmdline() == command)
        found = engine.list()
        mine.kill()
    assert found == [], "it would be ended as an orphan"


def test_a_process_that_no_signal_ends_is_not_waited_for_for_ever(
    engine: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = start(engine, "import time; time.sleep(60)")
    monkeypatch.setattr("retrain.engines.local.KILLED_SECONDS", 0.1)
    with monkeypatch.context() as patched:
        patched.setattr("retrain.engines.local._signal", lambda pid, number: None)
        with pytest.raises(Unavailable, match="was killed and does not end"):
            engine.stop(job, 0.0)
    assert engine.status(job) == RUNNING


@pytest.mark.slow
def test_a_deaf_process_is_killed_after_its_grace(engine: Local) -> None:
    job = start(engine, DEAF)
    until(lambda: "ready" in engine.log(job))
    began = time.monotonic()
    engine.stop(job, 0.3)
    assert 0.3 <= time.monotonic() - began < 10
    assert engine.status(job) == FAILED


def test_the_whole_group_ends(engine: Local) -> None:
    job = start(engine, PARENT)
    until(lambda: engine.log(job).strip())
    grandchild = int(engine.log(job).split()[0])
    engine.stop(job, 5.0)
    until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE)


def test_a_number_given_out_again_is_not_our_job(engine: Local) -> None:
    told = {"job": f"{RUN}/{os.getpid()}", "pid": os.getpid(), "started": psutil.Process().create_time() - 100}
    (engine.root / RUN / "job.json").write_text(json.dumps(told))
    assert engine.list() == []
    engine.stop(told["job"], 0.0)  # would end this very test


def test_the_engine_is_registered_with_a_line_for_pages() -> None:
    assert "local" in ENGINES
    assert ENGINES.summary("local").startswith("Processes of this machine")
