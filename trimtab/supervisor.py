"""Keeps child processes running: restarts what dies, prints one readable line an event, ends all of them together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SETTLED_SECONDS = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
BAD_SETTINGS = 2
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """A process to keep running."""

    name: str
    argv: Sequence[str]
    process: subprocess.Popen[str] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = 0.0
    restarts: int = 0
    last_line: str = field(default="")


def _end_with_parent() -> None:
    """Runs in the child before exec: if the supervisor is killed outright, the child is told to stop."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Runs `children` with `environment` until `stop` or until one says, as it starts for the first time, that its
    settings are wrong (exit code 2)."""

    def __init__(
        self,
        children: Sequence[Child],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        *,
        grace_seconds: float = 15.0,
    ) -> None:
        self.children = list(children)
        self.environment = dict(environment)
        self.say = say
        self.grace_seconds = grace_seconds
        self._stopping = threading.Event()
        self.failed: Child | None = None

    def stop(self) -> None:
        """Ask the loop to end everything."""
        self._stopping.set()

    def run(self, *, poll_seconds: float = 0.1) -> int:
        """Start every child and keep them alive. Returns 0 when stopped, 2 when a child refused its settings."""
        for child in self.children:
            self._start(child)
        while not self._stopping.is_set():
            for child in self.children:
                self._watch(child)
            if self.failed is not None:
                break
            self._stopping.wait(poll_seconds)
        self._end()
        return BAD_SETTINGS if self.failed is not None else 0

    def _start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            list(child.argv),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            preexec_fn=_end_with_parent,
        )
        child.started = time.monotonic()
        threading.Thread(target=self._relay, args=(child, child.process), daemon=True).start()

    def _relay(self, child: Child, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                text = line.rstrip()
                if text:
                    child.last_line = text
                    self._tell(f"{child.name:<9} {text}")

    def _tell(self, line: str) -> None:
        """Say the line. One that cannot be written, as into a log on a full disk, is lost and ends nobody: a child
        whose lines nobody reads any more cannot write its next."""
        with contextlib.suppress(OSError):
            self.say(line)

    def _watch(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due:
                child.restarts += 1
                try:
                    self._start(child)
                except OSError as error:
                    # No memory for another process, or no file left to open: that of the others is not given up for it.
                    self._tell(
                        f"{child.name:<9} cannot be started ({error.strerror}); trying again in {child.pause:.1f} s"
                    )
                    child.due, child.pause = now + child.pause, min(child.pause * 2, LONGEST_PAUSE)
            return
        code = child.process.poll()
        if code is None:
            return
        child.process.wait()
        began_well = child.restarts > 0 or now - child.started > SETTLED_SECONDS
        if code == BAD_SETTINGS and not began_well:
            self._tell(f"{child.name:<9} cannot run with these settings; everything is stopped")
            self.failed = child
            return
        if now - child.started > SETTLED_SECONDS:
            child.pause = FIRST_PAUSE
        if code == BAD_SETTINGS:
            # A file that somebody edits, or a port that is not free yet, must not take down those that answer.
            self._tell(f"{child.name:<9} cannot run with these settings any more; the others go on")
        reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        self._tell(f"{child.name:<9} ended ({reason}); starting it again in {child.pause:.1f} s")
        child.process, child.due = None, now + child.pause
        child.pause = min(child.pause * 2, LONGEST_PAUSE)

    def _end(self) -> None:
        alive = [child for child in reversed(self.children) if child.process and child.process.poll() is None]
        for child in alive:
            assert child.process is not None
            child.process.terminate()
        deadline = time.monotonic() + self.grace_seconds
        for child in alive:
            assert child.process is not None
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._tell(f"{child.name:<9} did not stop in {self.grace_seconds:.0f} s and is killed")
                os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
        self._tell("trimtab   stopped")
