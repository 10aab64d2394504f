"""A run's progress as JSON lines, each written whole and at once, so that a reader never meets half a line."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from pathlib import Path
from typing import Any

Value = str | int | float | None


class Progress:
    """Appends events to a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Append one event. Numbers that JSON cannot hold become null."""
        row = {"event": event} | {name: plain(value) for name, value in values.items()}
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, (json.dumps(row) + "\n").encode())
        finally:
            os.close(handle)


def plain(value: Any) -> Any:
    """`value` rounded to six significant digits if it is a float, None if it is not finite."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events in a progress file; a line cut short by a crash is left out."""
    events: list[dict[str, Any]] = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def peak_memory_mb(device: str) -> int:
    """Peak memory in MiB: of the device for cuda, resident of this process for cpu."""
    if device != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated(device) // 2**20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak // 2**20 if sys.platform == "darwin" else peak // 2**10)
