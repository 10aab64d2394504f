"""Processes of this machine, each in its own group, found again by its number and start time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from core.errors import Conflict, Unavailable
from core.settings import Settings
from retrain.engines import DONE, ENGINES, FAILED, GONE, RUNNING, STOPPED, STOPPED_CODE

JOB = "job.json"
LOG = "log.txt"
_EXITS = {0: DONE, STOPPED_CODE: STOPPED}
_SAME_START_SECONDS = 2.0
_POLITE = 5
# A child is started as: python -m MODULE FOLDER.
_WORDS = 4
# What was killed ends at once, unless it waits in the kernel, for a disk or a GPU that does not answer.
KILLED_SECONDS = 10.0


@ENGINES.register
class Local:
    """Processes of this machine, each in its own group, found again by its number and start time.

    A job's id is `RUN/NAME`; `root` holds the runs' folders, and `job.json` in a folder names its last process.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._own: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Local:
        """For the runs of this installation."""
        return cls(settings.home / "runs")

    def submit(self, run: str, folder: Path, argv: Sequence[str]) -> str:
        """Start `argv`, its output going to log.txt in `folder`; returns the job's id.

        Raises Conflict while an earlier job of this run is alive: two trainers must not write one folder.
        """
        if (alive := self._alive(run)) is not None:
            raise Conflict(f"The run {run} already has a process ({alive.pid}).", "Stop it first.")
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        started = _start_time(process.pid)
        job = f"{run}/{process.pid}"
        self._own[job] = process
        _write(folder / JOB, {"job": job, "pid": process.pid, "started": started, "argv": list(argv)})
        with contextlib.suppress(psutil.Error):
            # Chats answered on the same cores come first.
            psutil.Process(process.pid).nice(_POLITE)
        return job

    def status(self, job: str) -> str:
        """running, done (exit 0), stopped (exit 75), failed (any other exit), or gone (it was not our child)."""
        process = self._own.get(job)
        if process is not None:
            code = process.poll()
            return RUNNING if code is None else _EXITS.get(code, FAILED)
        alive = self._alive(job.partition("/")[0])
        return RUNNING if alive is not None and str(alive.pid) == job.partition("/")[2] else GONE

    def log(self, job: str, tail: int = 50) -> str:
        """The last `tail` lines that the run's processes printed."""
        path = self.root / job.partition("/")[0] / LOG
        try:
            with path.open("rb") as stream:
                stream.seek(max(0, path.stat().st_size - 64 * 1024))
                return "\n".join(stream.read().decode("utf-8", "replace").splitlines()[-tail:])
        except OSError:
            return ""

    def stop(self, job: str, grace_seconds: float) -> None:
        """Ask the whole group to end, and kill what is left of it after `grace_seconds`.

        Raises Unavailable when the process is there even KILLED_SECONDS after that.
        """
        if self.status(job) != RUNNING:
            return
        pid = int(job.partition("/")[2])
        _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while self.status(job) == RUNNING and time.monotonic() < deadline:
            time.sleep(0.05)
        # Also what the job started and left behind.
        _signal(pid, signal.SIGKILL)
        deadline = time.monotonic() + KILLED_SECONDS
        while self.status(job) == RUNNING:
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"The process {pid} was killed and does not end.", "Look what it waits for: a disk, or a GPU."
                )
            time.sleep(0.02)

    def list(self) -> Sequence[str]:
        """The jobs that run now, also those that an earlier worker started."""
        found = self._unrecorded()
        found |= {
            run: process
            for run in (path.parent.name for path in self.root.glob(f"*/{JOB}"))
            if (process := self._recorded(run)) is not None
        }
        return [f"{run}/{found[run].pid}" for run in sorted(found)]

    def _alive(self, run: str) -> psutil.Process | None:
        return self._recorded(run) or self._unrecorded().get(run)

    def _recorded(self, run: str) -> psutil.Process | None:
        """The process that job.json names, if it is still that one: numbers are given out again."""
        try:
            told = json.loads((self.root / run / JOB).read_text(encoding="utf-8"))
            process = psutil.Process(int(told["pid"]))
            same = abs(process.create_time() - float(told["started"])) < _SAME_START_SECONDS
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            pass
        return None

    def _unrecorded(self) -> dict[str, psutil.Process]:
        """Leaders of groups that run a module on a run's folder, by run: a worker may die before it writes job.json.

        Only such: what a person does with the folder (tar, du, an editor) is nobody's child, and must not be ended.
        """
        found: dict[str, psutil.Process] = {}
        for process in psutil.process_iter(["cmdline", "status"]):
            command = process.info["cmdline"] or []
            if len(command) != _WORDS or command[1] != "-m":
                continue
            folder = Path(command[-1])
            if folder.parent == self.root and process.info["status"] != psutil.STATUS_ZOMBIE:
                with contextlib.suppress(ProcessLookupError):
                    if os.getpgid(process.pid) == process.pid:
                        found[folder.name] = process
        return found


def _start_time(pid: int) -> float:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _write(path: Path, value: dict[str, Any]) -> None:
    fresh = path.with_name(f".{path.name}.partial")
    fresh.write_text(json.dumps(value), encoding="utf-8")
    fresh.replace(path)
