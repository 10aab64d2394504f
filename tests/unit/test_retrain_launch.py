"""How a run on several devices ends, as its progress tells it: torchrun only knows whether all went well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retrain.launch import launch
from retrain.training.progress import Progress


@pytest.mark.parametrize(
    ("events", "code", "asked", "ended"),
    [
        (["start", "step", "end"], 0, False, 0),
        (["start", "step", "end"], 1, True, 0),  # asked as the last step ended: what was trained is there
        (["start", "stopped"], 0, True, 75),
        (["adapt_start", "adapt_stopped"], 0, True, 75),
        (["start", "step"], 1, True, 75),  # killed before it had stopped: it goes on from its last checkpoint
        (["start", "step"], 1, False, 1),
        (["start", "error", "step"], 1, True, 2),
        ([], 0, False, 0),
    ],
)
def test_it_ends_as_one_device_alone_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str], code: int, asked: bool, ended: int
) -> None:
    progress = Progress(tmp_path / "progress.jsonl")
    progress.write("stopped")  # of an earlier try

    class Torchrun:
        def __init__(self, *_: Any, **__: Any) -> None:
            self.codes = iter([None, code])

        def poll(self) -> int | None:
            return next(self.codes)

        def terminate(self) -> None:
            assert asked

    def write(seconds: float) -> None:
        for event in events:
            progress.write(event, code=2)

    monkeypatch.setattr("retrain.launch.subprocess.Popen", Torchrun)
    monkeypatch.setattr("retrain.launch.time.sleep", write)
    assert launch(tmp_path, 2, [], lambda: asked) == ended
