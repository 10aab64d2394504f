"""Where training runs, one engine a file: started, watched, stopped with grace, and found again after a crash."""

from __future__ import annotations

from core.ports import Engine
from core.registry import Registry

# What `Engine.status` says. "gone" means that it ended and nobody saw how: its folder tells what it left.
RUNNING, DONE, STOPPED, FAILED, GONE = "running", "done", "stopped", "failed", "gone"

ENGINES: Registry[type[Engine]] = Registry("engine", "retrain.engines")
