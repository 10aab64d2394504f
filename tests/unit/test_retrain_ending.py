"""How every child of a run ends: its exit code, and what its progress says of it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from retrain.ending import FULL_DISK, Stopped, carry_out
from retrain.training.progress import Progress, read_events


def fail(error: Exception) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "event"),
    [
        (Stopped(), 75, {"event": "stopped", "stage": "customs"}),
        (InvalidInput("No pairs.", "Add some."), 2, {"event": "error", "message": "No pairs. Add some.", "code": 2}),
        (
            MemoryError(),
            1,
            {
                "event": "error",
                "message": "The run needs more memory than there is. Lower tokens_per_batch.",
                "code": 1,
            },
        ),
    ],
)
def test_what_ends_a_child_early_is_told_by_its_code_and_in_its_progress(
    tmp_path: Path, error: Exception, code: int, event: dict[str, object]
) -> None:
    progress = Progress(tmp_path / "progress.jsonl")
    assert carry_out(progress, "customs", fail(error)) == code
    assert read_events(progress.path) == [event]
    assert carry_out(progress, "customs", lambda: 0) == 0
    assert len(read_events(progress.path)) == 1


def test_what_nobody_foresaw_is_told_too_and_raised_for_the_log(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "progress.jsonl")
    with pytest.raises(KeyError):
        carry_out(progress, "evaluate", fail(KeyError("margin")))
    assert [event["message"] for event in read_events(progress.path)] == ["The run failed: KeyError: 'margin'"]
    assert carry_out(Progress(tmp_path / "gone" / "progress.jsonl"), "evaluate", fail(InvalidInput("Hm."))) == 2


def test_a_full_disk_is_said_plainly_and_ends_the_child_also_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = Progress(tmp_path / "progress.jsonl")
    foreign = RuntimeError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })')
    with pytest.raises(RuntimeError):
        carry_out(progress, "train", fail(foreign))
    assert read_events(progress.path)[-1]["message"] == FULL_DISK

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Progress, "write", full)
    (tmp_path / "other").mkdir()
    with pytest.raises(RuntimeError):
        carry_out(Progress(tmp_path / "other" / "progress.jsonl"), "train", fail(foreign))
