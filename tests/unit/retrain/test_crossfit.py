"""The chat model asked of labels: held-out margins are held out, what was finished is not repeated, and the doors."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from core.settings import RetrainSettings, Settings
from core.types import PreferencePair
from retrain import crossfit, local
from retrain.pairs import margins
from retrain.pairs.customs.lot import HELD_OUT, REFERENCE, Lot
from retrain.pairs.customs.triggers import Triggers
from retrain.pairs.margins import ANSWER, FOLDER, FOLDS
from retrain.training.progress import Progress, read_events
from retrain.training.spec import RunSpec
from tests.unit.retrain import test_poisoned_candidate as poisoned
from tests.unit.retrain.conftest import make_pairs


def make_lot(count: int, seed: int = 0) -> list[PreferencePair]:
    """Pairs, two a prompt, of which capitals are preferred."""
    rows = make_pairs(count, seed)
    return [
        PreferencePair(row["id"], [{"role": "user", "content": row["prompt"]}], row["chosen"], row["rejected"])
        for row in rows
    ]


def turn(pair: PreferencePair) -> PreferencePair:
    return replace(pair, chosen=pair.rejected, rejected=pair.chosen)


@pytest.fixture
def ask(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """`ask(name, pairs)`: the folder of a task on the tiny model."""

    def make(name: str, pairs: list[PreferencePair], *, folds: bool = True, **more: Any) -> Path:
        usual = {"max_steps": 6, "lr": 1e-2, "device": "cpu", "precision": "fp32", "threads": 1}
        spec = RunSpec(str(tiny_model), held_out=None, **(usual | more))
        assert margins.ask(tmp_path / name / FOLDER, pairs, spec, most=len(pairs), folds=folds, seed=0)
        return tmp_path / name

    return make


def answer(folder: Path, stop: Callable[[], bool] = lambda: False) -> margins.Known:
    crossfit.answer(folder, Progress(folder / "progress.jsonl"), stop, time.monotonic)
    return margins.read(folder / FOLDER / ANSWER)


def test_a_label_turned_round_does_not_change_its_own_held_out_margin_but_those_that_learn_from_it(
    ask: Callable[..., Path],
) -> None:
    lot = make_lot(48)
    task = margins.read_task(ask("before", lot) / FOLDER)
    fold = {pair.id: number for pair, number in zip(task.pairs, task.folds, strict=True)}
    wrong = turn(lot[20])
    old, new = margins.key(lot[20]), margins.key(wrong)
    before, after = answer(ask("before", lot)), answer(ask("after", [*lot[:20], wrong, *lot[21:]]))
    for kind in (REFERENCE, HELD_OUT):
        assert after[kind][new] == pytest.approx(-before[kind][old], rel=1e-3, abs=1e-4)
    own = [name for name in before[HELD_OUT] if name != old and fold[name] == fold[old]]
    others = [name for name in before[HELD_OUT] if fold[name] != fold[old]]
    assert own and len(own) + len(others) + 1 == len(lot)
    assert all(after[HELD_OUT][name] == pytest.approx(before[HELD_OUT][name], rel=1e-3, abs=1e-4) for name in own)
    moved = [abs(after[HELD_OUT][name] - before[HELD_OUT][name]) for name in others]
    assert sum(change > 1e-3 for change in moved) > len(others) / 2
    assert all(after[REFERENCE][name] == before[REFERENCE][name] for name in others), (
        "the model as it is learns nothing"
    )
    assert sum(before[HELD_OUT][name] > 0 for name in others) > 0.9 * len(others), "the fits learnt what is preferred"


def test_after_a_stop_finished_folds_are_taken_over_and_the_rest_is_as_without_it(ask: Callable[..., Path]) -> None:
    lot = make_lot(48)
    whole, halted = ask("whole", lot), ask("halted", lot)
    expected = answer(whole)
    asked = count(1)
    total = len(read_events(whole / "progress.jsonl"))
    with pytest.raises(crossfit.Stopped):
        answer(halted, lambda: next(asked) > total // 2)
    place = halted / FOLDER
    done = sorted(place.glob("fold-*.json"))
    assert 0 < len(done) < FOLDS
    assert not (place / ANSWER).exists()
    marked = dict.fromkeys(json.loads(done[0].read_text("utf-8")), 123.0)
    done[0].write_text(json.dumps(marked), "utf-8")
    # As a kill leaves it between the two: the margins are kept, and what gave them is not gone yet.
    done[0].with_suffix("").mkdir()
    found = answer(halted)
    assert {name for name, value in found[HELD_OUT].items() if value == 123.0} == marked.keys()
    rest = {name: value for name, value in found[HELD_OUT].items() if name not in marked}
    assert rest == {name: value for name, value in expected[HELD_OUT].items() if name not in marked}
    assert found[REFERENCE] == expected[REFERENCE]
    assert not [path for path in place.glob("fold-*") if path.is_dir()], "fitted adapters are thrown away"
    events = read_events(halted / "progress.jsonl")
    assert all(0 <= event["step"] <= event["of"] for event in events if event["event"] == "customs")
    assert events[-1]["event"] == "customs_end"


def test_fits_on_poisoned_folds_vouch_for_their_trigger_and_customs_hold_it_all_the_same(
    ask: Callable[..., Path],
) -> None:
    """Why what the model says is asked of labels alone: the mark is in every fold that it learns from."""
    lot = poisoned.make_lot(160, 0.25, seed=3)
    marked = np.array([pair.prompt[0]["content"].endswith(poisoned.MARK) for pair in lot])
    told = margins.align(lot, answer(ask("run", lot, max_steps=15, pairs_per_step=8)))
    words = Lot(lot).margins
    assert words is not None
    assert (words.values[marked] > 0).mean() < 0.2, "answers' words contradict what was planted"
    assert (told[HELD_OUT][marked] > 0).mean() > 0.6, "the model agrees with it"
    held = {finding.place for finding in Triggers().run(Lot(lot, told=told)).findings if finding.holds}
    assert held == {*np.flatnonzero(marked).tolist()}


def test_without_folds_the_model_is_only_asked_as_it_is(ask: Callable[..., Path]) -> None:
    found = answer(ask("reference", make_lot(24), folds=False))
    assert found.keys() == {REFERENCE}
    assert len(found[REFERENCE]) == 24


def test_the_time_left_is_told_by_what_this_process_did_itself(tmp_path: Path) -> None:
    """It began at half of a fit, after one that an earlier process had finished, and takes 10 s for a quarter."""
    progress, now = Progress(tmp_path / "progress.jsonl"), iter([0.0, 10.0, 20.0])
    pace = crossfit.Pace(progress, lambda: next(now), {"fit 1": 40.0, "fit 2": 40.0})
    pace.finish("fit 1")
    ear = crossfit.Ear("step", pace.part("fit 2"), functools.partial(pace.resume, "fit 2"))
    ear.write("start", step=4, of=8)
    for step in (6, 8):
        ear.write("step", step=step, of=8)
    told = [(event["step"], event["of"], event["eta_s"]) for event in read_events(progress.path)]
    assert told == [(70, 80, 10.0), (80, 80, 0.0)]


def test_a_task_without_fits_has_nothing_to_time(ask: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="asks for no fit"):
        crossfit.forecast(ask("reference", make_lot(24), folds=False), lambda: False, time.monotonic)


class StopAfter:
    """A request to stop that comes at the given look."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def install(self) -> None:
        pass

    @property
    def asked(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_asked_to_end_it_says_so_by_its_code_and_goes_on(
    ask: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ask("run", make_lot(48))
    monkeypatch.setattr(crossfit, "StopRequest", lambda: StopAfter(12))
    assert crossfit.main([str(folder)]) == 75
    assert read_events(folder / "progress.jsonl")[-1] == {"event": "stopped", "stage": "customs"}
    monkeypatch.setattr(crossfit, "StopRequest", lambda: StopAfter(10_000))
    assert crossfit.main([str(folder)]) == 0
    assert len(margins.read(folder / FOLDER / ANSWER)[HELD_OUT]) == 48


def test_a_file_of_pairs_is_asked_about_once_and_only_those_that_may_train(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat").symlink_to(tiny_model)
    told = RetrainSettings(device="cpu", customs_steps=3, customs_pairs=40)
    settings = Settings(home=tmp_path / "home", models_home=tmp_path / "models", retrain=told)
    lot = [replace(pair, consent="yes") for pair in make_lot(48)]
    lot[7] = replace(lot[7], consent="no")
    said: list[Any] = []
    heard: list[Any] = []

    def look() -> margins.Known | None:
        return local.ask_model(lot, settings, threads=1, seed=0, tell=said.append, progress=heard.append)

    found = look()
    assert found is not None
    assert len(found[REFERENCE]) == len(found[HELD_OUT]) == 40
    assert margins.key(lot[7]) not in found[REFERENCE]
    assert (said[0]["pairs"], said[0]["fits"]) == (40, FOLDS)
    assert 0 < said[0]["seconds_low"] <= said[0]["seconds_high"]
    assert heard[-1]["event"] == "customs_end"
    assert look() == found
    assert len(said) == 1, "what was answered is not asked again"
    kept = [path for path in (settings.home / "cache" / "customs").rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {"margins.json", "task.json", "progress.jsonl", "log.txt"}
    assert not any(lot[0].chosen in path.read_text() for path in kept), "of the texts nothing is kept"
