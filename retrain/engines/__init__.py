"""Where training runs, one engine a file: started, watched, stopped with grace, and found again after a crash."""

from __future__ import annotations

from typing import Any

from core.errors import InvalidInput, NotFound
from core.ports import Engine
from core.registry import Registry
from core.settings import Settings

# What `Engine.status` says. "gone" means that it ended and nobody saw how: its folder tells what it left.
RUNNING, DONE, STOPPED, FAILED, GONE = "running", "done", "stopped", "failed", "gone"
# How a trainer ends that was asked to and kept a checkpoint.
STOPPED_CODE = 75

ENGINES: Registry[Any] = Registry("engine", "retrain.engines")


def connect(settings: Settings) -> Engine:
    """The engine named by `retrain.engine`. Raises InvalidInput, also when a setting of its own is missing."""
    try:
        kind = ENGINES.get(settings.retrain.engine)
    except NotFound as error:
        # A setting that is wrong is not mended by starting again, as a supervisor does after other errors.
        raise InvalidInput(error.message, f"Correct retrain.engine. {error.remedy}") from None
    engine: Engine = kind.from_settings(settings)
    return engine
