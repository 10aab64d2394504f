"""What a proposal says that its run will take: from the settings that the run is told, not from the usual ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.settings import RetrainSettings
from retrain import cost, proposals


def memory(tokens_per_pair: int = 200, **settings: Any) -> int:
    body = proposals.retraining(
        RetrainSettings(device="cpu", **settings),
        deployment="assistant",
        base="chat",
        champion="assistant-base",
        reason="They ask otherwise.",
        alert=None,
        pairs={"approved": 400},
        tokens_per_pair=tokens_per_pair,
        throughput=None,
        gpu=False,
    )
    return int(body["estimate"]["memory_mb"])


def test_memory_follows_the_tokens_at_once_as_far_as_a_step_has_them() -> None:
    def at(tokens: int, **more: Any) -> int:
        return memory(tokens_per_batch=tokens, precision="bf16", pairs_per_step=16, **more)

    assert at(256) < at(1024) < at(2048)
    assert at(4096) == at(16 * 200), "a step has no more"
    assert at(256) == at(64), "below a row there is nothing to save"
    assert at(256, tokens_per_pair=900) > at(256), "nor below a pair"


# Peaks in MiB of one step of the default model, by precision and tokens at once.
PEAKS = {("bf16", 256): 1156, ("bf16", 1024): 1776, ("bf16", 2048): 3005} | {
    ("fp32", 256): 1593,
    ("fp32", 1024): 3129,
    ("fp32", 2048): 4270,
}


@pytest.mark.parametrize(("precision", "tokens"), PEAKS)
def test_memory_is_near_what_was_measured(precision: str, tokens: int) -> None:
    found = memory(tokens_per_batch=tokens, precision=precision, pairs_per_step=11)
    assert found == pytest.approx(PEAKS[precision, tokens], rel=0.1)


def test_auto_is_what_the_processor_multiplies_natively(tmp_path: Path) -> None:
    processor = tmp_path / "cpuinfo"
    assert cost.choose_precision("auto", "cpu", processor=processor) == "fp32", "one that does not say"
    processor.write_text("flags : fpu avx512f avx2\n")
    assert cost.choose_precision("auto", "cpu", processor=processor) == "fp32"
    processor.write_text("flags : fpu avx512f avx512_bf16\n")
    assert cost.choose_precision("auto", "cpu", processor=processor) == "bf16"
    assert cost.choose_precision("auto", "cuda:0", processor=tmp_path) == "bf16"
    assert cost.choose_precision("fp32", "cuda", processor=processor) == "fp32"
