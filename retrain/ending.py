"""How a child of a run ends: with its work done, stopped by a signal, or with a sentence that says why it failed."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from core.errors import TrimtabError
from retrain.training.progress import Progress, read_events
from retrain.training.trainer import BAD_SPEC, STOPPED

FAILED = 1
FULL_DISK = "The disk of the run's folder is full: free some space there."
_LEAST_FREE = 2**20


class Stopped(Exception):
    """A signal asked the process to end; started again it goes on, or begins anew where nothing was kept."""


class StopRequest:
    """Remembers that a signal asked the process to end."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle)

    def handle(self, number: int, frame: object) -> None:
        self.asked = True


def is_full(folder: Path) -> bool:
    """Whether the disk of `folder` has no room left: a child that ended then could not even say so."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE
    except OSError:
        return False


def met_full(error: Exception) -> bool:
    """Whether a disk had no room for what was written; libraries that write files say so in errors of their own."""
    return os.strerror(errno.ENOSPC) in str(error)


def carry_out(progress: Progress, stage: str, work: Callable[[], int]) -> int:
    """The exit code of `work`, or the one of what it raised, told in `progress`: Stopped as an event of `stage`, all
    else as an error in a sentence. Raises again what nobody foresaw, for the log."""
    before = len(read_events(progress.path))
    try:
        return work()
    except Stopped:
        progress.write("stopped", stage=stage)
        return STOPPED
    except TrimtabError as error:
        return _report(progress, str(error), BAD_SPEC, before)
    except Exception as error:
        kind = type(error).__name__
        if kind in ("MemoryError", "OutOfMemoryError"):  # the machine's, or a device's as torch calls it
            sentence = "The run needs more memory than there is. Lower tokens_per_batch."
            return _report(progress, sentence, FAILED, before)
        with contextlib.suppress(OSError):
            _report(progress, FULL_DISK if met_full(error) else f"The run failed: {kind}: {error}", FAILED, before)
        raise


def _report(progress: Progress, sentence: str, code: int, before: int) -> int:
    """Say why the process ends; returns `code`.

    Of several devices' processes the first to fail says it: the others fail because it did. `before` is how many events
    there were when the process began.
    """
    told = (event.get("event") for event in read_events(progress.path)[before:])
    if progress.path.parent.is_dir() and "error" not in told:
        progress.write("error", message=sentence, code=code)
    print(sentence, file=sys.stderr)
    return code
