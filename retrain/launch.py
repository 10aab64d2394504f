"""A run on several devices: starts torchrun with a trainer on each, hands a signal on, and says how they ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from retrain.training.progress import read_events
from retrain.training.trainer import DONE, STOPPED

_LOOK_SECONDS = 0.2


def launch(folder: Path, devices: int, arguments: Sequence[str], stop: Callable[[], bool]) -> int:
    """Train the run in `folder` on `devices` devices of this machine; returns the exit code that one alone would have.

    torchrun says only whether all went well; the rest is read from the progress. `arguments` go to each trainer.
    """
    path = folder / "progress.jsonl"
    before = len(read_events(path))
    # The folder not last: an engine knows a run's process by it, and that is this one.
    trainer = ["-m", "retrain.train", str(folder), *arguments, "--started-by", str(os.getpid())]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}", *trainer]
    # In a session of its own, so that a signal to this one's group reaches torchrun once: a second ends its waiting.
    child = subprocess.Popen(command, start_new_session=True)
    asked = False
    while (code := child.poll()) is None:
        if stop() and not asked:
            asked = True
            child.terminate()
        time.sleep(_LOOK_SECONDS)
    events = read_events(path)[before:]
    # The first device may have said more before it met that another was gone.
    if errors := [event for event in events if event.get("event") == "error"]:
        return int(errors[0]["code"])
    event = str(events[-1].get("event", "")) if events else ""
    # Once that is told, what was trained is whole, however the processes end: torchrun fails when it is asked to end.
    if event == "end":
        return DONE
    if asked or event.endswith("stopped"):
        return STOPPED
    return DONE if code == 0 else 1
