"""A run's log reads as sentences: no name of a field, no structure, and none of its events unknown to the console."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dashboard import run_log

RETRAIN = Path(__file__).resolve().parents[2] / "retrain"
TOPIC = {"name": "everything", "pairs": 36, "gain": {"value": 0.44, "low": 0.2, "high": 0.56, "n": 36}, "sure": True}
STEP = {
    "event": "step",
    "step": 9,
    "of": 24,
    "loss": 0.371,
    "margin": 0.9,
    "accuracy": 1.0,
    "chosen_logp": -108.327,
    "router_entropy": [0.9, 0.8],
    "tokens_per_second": 102.4,
    "eta_s": 9.2,
}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            {"event": "start", "step": 0, "of": 24, "pairs": 96, "held_out": 8, "skipped_too_long": 1, "device": "CPU"},
            "Training begins: 24 steps, 96 training pairs, 8 held out, 1 left out as too long, CPU.",
        ),
        ({"event": "start", "step": 12, "of": 24, "thumbs": 1}, "Training goes on after step 12 of 24, 1 thumb."),
        (
            STEP,
            "Step 9 of 24: loss 0.371, reward margin 0.9, 100 % ranked right, 102 tokens a second, about 9 s left.",
        ),
        (
            {"event": "reliability", "step": 8, "noise_rate": 0.12, "doubted": 0.1, "weight_mean": 0.9},
            "After step 8 it doubts the labels of 10 % of the pairs, which count less from here on. It takes 12 % of "
            "all labels for wrong.",
        ),
        ({"event": "adapt_step", "step": 2, "of": 3, "loss": 2.5}, "Adaptation: step 2 of 3: loss 2.5."),
        ({"event": "reference", "step": 12, "of": 96}, "Scored before training: 12 of 96."),
        (
            {"event": "evaluated", "pairs": 36, "seconds": 26.99, "topics": [TOPIC], "poison": "No phrase turned it."},
            "Scored 36 held-out pairs in 26 s. No phrase turned it.",
        ),
        (
            {
                "event": "end",
                "step": 24,
                "of": 24,
                "tokens": 8665,
                "seconds": 109.2,
                "memory_mb": 1871,
                "adapter": "b0",
            },
            "Training has ended after 24 steps: 8,665 tokens in 1 min and 1,871 MiB of memory.",
        ),
        ({"event": "stopped", "step": 3, "of": 24}, "Stopped after step 3 of 24; a checkpoint is kept."),
        ({"event": "stopped", "stage": "evaluate"}, "Stopped while it was evaluated."),
        ({"event": "error", "message": "No room.", "code": 2}, "It failed: No room."),
        ({"event": "new_thing", "rank": 3, "shares": {"a": [1]}}, "New thing: rank 3."),
    ],
)
def test_an_event_is_a_sentence(event: dict[str, Any], said: str) -> None:
    assert run_log.sentence(event) == said


def test_every_event_that_a_run_writes_has_its_sentence() -> None:
    source = "\n".join(path.read_text("utf-8") for path in sorted(RETRAIN.rglob("*.py")))
    written = set(re.findall(r"progress\.write\(\s*\"(\w+)\"", source))
    assert {"start", "step", "evaluated", "customs_end"} <= written
    assert written <= set(run_log.SENTENCES)
