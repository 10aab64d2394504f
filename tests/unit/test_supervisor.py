"""The supervisor: restarts what dies, stops everything together, and gives up only on wrong settings."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from trimtab.supervisor import Child, Supervisor

FOREVER = (
    "import time, signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('ready', flush=True); time.sleep(60)"
)


def until(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_child_is_started_again_and_all_end_together() -> None:
    lines: list[str] = []
    child = Child("worker", [sys.executable, "-c", FOREVER])
    supervisor = Supervisor([child], dict(os.environ), lines.append)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    until(lambda: any("ready" in line for line in lines))
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: sum("ready" in line for line in lines) == 2)
    supervisor.stop()
    thread.join(20)
    assert codes == [0]
    assert child.restarts == 1
    assert any("ended (signal SIGKILL)" in line for line in lines)
    assert child.process is not None
    assert child.process.poll() == 0


def test_wrong_settings_end_everything_with_their_message() -> None:
    lines: list[str] = []
    bad = Child("gateway", [sys.executable, "-c", "print('Port 1 cannot be used.'); raise SystemExit(2)"])
    good = Child("worker", [sys.executable, "-c", FOREVER])
    assert Supervisor([good, bad], dict(os.environ), lines.append).run() == 2
    assert any("Port 1 cannot be used." in line for line in lines)
    assert good.process is not None
    assert good.process.poll() is not None


@pytest.mark.slow
def test_a_log_that_takes_no_line_and_a_start_that_fails_end_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, and no room for another process for a moment."""
    told, starts = tmp_path / "told", tmp_path / "starts"
    chatty = (
        f"from pathlib import Path; p = Path({str(starts)!r}); n = len(p.read_text()) if p.exists() else 0\n"
        "p.write_text('x' * (n + 1))\n"
        "if n == 0: raise SystemExit(1)\n"
        "for _ in range(4000): print('a line of some words', flush=True)\n"
        f"Path({str(told)!r}).touch()\n" + FOREVER
    )
    child = Child("worker", [sys.executable, "-c", chatty])
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        raise OSError(errno.ENOSPC, "No space left on device")

    supervisor = Supervisor([child], dict(os.environ), say)
    start, failed = supervisor._start, list[int]()

    def start_once_in_vain(one: Child) -> None:
        if one.restarts == 1:
            failed.append(1)
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        start(one)

    monkeypatch.setattr(supervisor, "_start", start_once_in_vain)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        until(told.exists, 20)
    finally:
        supervisor.stop()
        thread.join(20)
    assert codes == [0] and failed == [1]
    assert any("cannot be started (Cannot allocate memory)" in line for line in lines)


@pytest.mark.slow
def test_settings_that_become_wrong_while_it_runs_take_down_nobody_else(tmp_path: Path) -> None:
    """A file that somebody edits, or a port that is not free yet, when a process is started again."""
    starts = tmp_path / "starts"
    code = (
        f"from pathlib import Path; p = Path({str(starts)!r}); n = len(p.read_text()) if p.exists() else 0\n"
        "p.write_text('x' * (n + 1))\n"
        "if n < 2: raise SystemExit([1, 2][n])\n" + FOREVER
    )
    lines: list[str] = []
    bad, good = (Child(name, [sys.executable, "-c", what]) for name, what in (("retrain", code), ("gateway", FOREVER)))
    supervisor = Supervisor([good, bad], dict(os.environ), lines.append)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        until(lambda: codes or sum("ready" in line for line in lines) == 2)
    finally:
        supervisor.stop()
        thread.join(20)
    assert codes == [0] and (bad.restarts, good.restarts) == (2, 0)
    assert any("retrain   cannot run with these settings any more; the others go on" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's own")
def test_children_end_when_the_supervisor_is_killed(tmp_path: object) -> None:
    import subprocess

    program = (
        "import os, sys\nfrom trimtab.supervisor import Child, Supervisor\n"
        f"child = Child('w', [sys.executable, '-c', {FOREVER!r}])\n"
        "Supervisor([child], dict(os.environ), lambda line: print(child.process.pid, flush=True)).run()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def gone() -> bool:
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    until(gone)
