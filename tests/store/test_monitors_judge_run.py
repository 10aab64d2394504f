"""`judged_quality` on a store: a lenient judge is corrected by thumbs, and another judge is not another model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monitors.effects import Effects
from monitors.judge.questions import Question
from monitors.judge.verdicts import Judged, Verdict
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

GOOD_SHARE = 0.6


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    made.add("judged_quality", enabled=True)
    made.release("assistant-base")
    return made


def answered(world: World) -> None:
    """600 answers of which three in five are good; every third is labelled by a person."""
    ids = world.send(600, response=lambda i: "It will arrive." if i % 5 < 3 else "Perhaps.")
    labelled = [(place, id) for place, id in enumerate(ids) if place % 3 == 0]
    world.judge([id for _, id in labelled], lambda i: 1.0 if labelled[i][0] % 5 < 3 else -1.0)


def judged_by(name: str, lenient: int) -> Any:
    """A judge who sees what is good, but lets every `lenient`th poor answer pass."""

    def judge(questions: Sequence[Question], *, seed: int, deadline_seconds: float) -> Judged:
        verdicts = []
        for place, question in enumerate(questions):
            good = question.answer == "It will arrive." or place % lenient == 0
            verdicts.append(Verdict(question.id, "A" if good else "B", "B" if good else "A"))
        return Judged(name, verdicts)

    return judge


def look(world: World, monkeypatch: pytest.MonkeyPatch, judge: Any) -> dict[tuple[str, str], Any]:
    made = world.effects
    values = (made.store, made.settings, made.clock, made.embed, made.ask, made.report, made.process)
    monkeypatch.setattr(World, "effects", property(lambda self: Effects(*values, judge)))
    seen = len(world.measured("judged_quality"))
    outcome = world.run("judged_quality", 6 * 3600)
    assert outcome is not None and outcome.state == "done", outcome
    return {(row["metric"], row["segment"]): row for row in world.measured("judged_quality")[seen:]}


def test_a_lenient_judge_is_corrected_and_another_judge_is_not_another_model(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(world)
    strict = look(world, monkeypatch, judged_by("strict", 10))
    lenient = look(world, monkeypatch, judged_by("lenient", 2))
    for found, name in ((strict, "strict"), (lenient, "lenient")):
        corrected = found["judged_quality", ""]
        assert corrected["low"] <= GOOD_SHARE <= corrected["high"]
        assert (corrected["details"]["judge"], corrected["details"]["anchors"]) == (name, 200)
        assert found["judge_agreement", name]["n"] == 200
    assert lenient["judge_says", "lenient"]["low"] > GOOD_SHARE
    assert ("judge_says", "strict") not in lenient


def test_answers_of_the_version_before_are_not_judged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(world)
    world.release("assistant-v1")
    world.send(30, version="assistant-v1")
    found = look(world, monkeypatch, judged_by("strict", 10))["judged_quality", ""]
    assert (found["status"], found["value"], found["needed"]) == ("nodata", None, 20)
    assert found["details"]["asked"] == 30


def test_without_a_judge_the_run_says_what_to_set(world: World) -> None:
    answered(world)
    outcome = world.run("judged_quality", 6 * 3600)
    assert outcome is not None and outcome.state == "failed"
    assert outcome.message == "No judge is set. Set judge.url and judge.model."
