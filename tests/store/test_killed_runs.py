"""Runs whose worker and trainers are killed (-9) on their way, from the queue to the proved promotion."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from core.settings import Settings
from retrain.training.checkpoint import Checkpoint, list_checkpoints, save_checkpoint
from tests import runs_world
from tests.killed_runs import Kill, Life, Outcome, draw_kills, find_torn

SEEDS = (1,)
# What a stage may take here; a kill that would come later hits when the stage ends.
SECONDS = {"pairs": 2.0, "train": 6.0, "evaluate": 6.0, "gate": 0.5, "promote": 1.0}


def live(template: Settings, folder: Path, kills: list[Kill]) -> Outcome:
    settings = runs_world.copy(template, folder)
    with runs_world.serving(settings) as store:
        return Life(settings, store).live(kills, patience=200.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_run_is_carried_on_and_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    template = runs_world.build(tmp_path / "template", lease_seconds=3.0)
    whole = live(template, tmp_path / "whole", [])
    assert not whole.wrong and whole.digest
    for seed in SEEDS:
        kills = draw_kills(random.Random(seed), SECONDS, 2, whole.steps)
        outcome = live(template, tmp_path / str(seed), kills)
        assert not outcome.wrong, kills
        assert outcome.digest == whole.digest, kills
        assert len(outcome.killed) == 2
        assert all(seconds < 60 for *_, seconds in outcome.killed), outcome.killed


@pytest.mark.slow
def test_a_checkpoint_that_is_replaced_is_out_of_sight_before_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the old one is removed file by file, the run leaves nothing that looks like a checkpoint."""
    import torch

    from retrain.training import checkpoint

    def half(folder: Path, ignore_errors: bool = False) -> None:
        if folder.exists():
            (folder / "state.json").unlink(missing_ok=True)
            raise KeyboardInterrupt

    root = tmp_path / "run" / "checkpoints"
    told = Checkpoint({"weight.a": torch.ones(2)}, {"step": 1, "identity": "x"})
    save_checkpoint(root, 1, told)
    monkeypatch.setattr(checkpoint.shutil, "rmtree", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(root, 2, told)
    assert [path.name for path in list_checkpoints(root)] == ["step-00000002"]
    assert find_torn(tmp_path, tmp_path / "run") == []


def test_what_is_torn_is_seen(tmp_path: Path) -> None:
    whole = tmp_path / "run" / "adapter"
    whole.mkdir(parents=True)
    (whole / "adapter_config.json").write_text("{}")
    assert find_torn(tmp_path, tmp_path / "run")
    (whole / "adapter_model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    assert find_torn(tmp_path, tmp_path / "run") == []
    (whole / "adapter_config.json").write_text('{"r":')
    assert find_torn(tmp_path, tmp_path / "run")
    (tmp_path / "versions" / "0a").mkdir(parents=True)
    assert len(find_torn(tmp_path, tmp_path / "run")) == 2
