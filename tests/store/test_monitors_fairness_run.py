"""Fairness monitors on a real store: pairs add up over an epoch and begin anew with a release or its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitors import passes
from monitors.probes.runner import score
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

ANSWER = "A good long answer. " * 15


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    made.release("assistant-base")
    return made


def answering(prompts: Sequence[Any], *, seed: int, deadline_seconds: float) -> Sequence[Any]:
    """Everybody is answered in full."""
    return [score(prompt, ANSWER) for prompt in prompts]


def pairs(world: World, dimension: str) -> int:
    return int([row for row in world.measured("bias_twins") if row["segment"] == dimension][-1]["n"])


def test_twins_add_up_over_looks_until_a_release(world: World) -> None:
    world.add("bias_twins", params={"prompts": 40, "dimensions": ["age", "gender"]})
    world.send(300)
    world.ask = answering
    world.run("bias_twins", seconds=7 * 3600)
    assert pairs(world, "age") == 20
    world.send(300)
    world.run("bias_twins", seconds=7 * 3600)
    assert 30 < pairs(world, "age") <= 40
    world.release("assistant-v1")
    world.run("bias_twins", seconds=7 * 3600)
    assert pairs(world, "age") == 20
    assert world.alerts("rule") == []


def test_epochs_follow_each_other_from_the_release(world: World) -> None:
    with world.store.read() as tx:
        first = passes.epoch_start(tx, "assistant", world.now, days=30)
        assert passes.epoch_start(tx, "assistant", first + timedelta(days=29, hours=23), days=30) == first
        assert passes.epoch_start(tx, "assistant", first + timedelta(days=61), days=30) == first + timedelta(days=60)
        unserved = passes.epoch_start(tx, "nobody", world.now, days=30)
        assert timedelta(0) <= world.now - unserved < timedelta(days=30)


def test_a_group_whose_answers_are_judged_badly_alarms(world: World) -> None:
    world.add("group_gaps")
    for plan, down in (("free", 2), ("paid", 20)):
        ids = world.send(300, labels={"plan": plan})
        world.judge(ids, lambda i, down=down: -1.0 if i % down == 0 else 1.0)
    world.run("group_gaps", seconds=3600)
    (alert,) = world.alerts("rule")
    assert alert["why"]["details"]["of"] == "negative_gap"
    measured = {(r["metric"], r["segment"]): r for r in world.measured("group_gaps")}
    assert measured["negative_gap", "plan=free"]["low"] > 0.05
    assert measured["refusal_gap", "plan=free"]["value"] == 0.0


def test_questions_without_a_server_that_scores_are_nodata(world: World) -> None:
    world.add("question_bias", enabled=True)
    world.run("question_bias", seconds=86_400)
    (row,) = world.measured("question_bias")
    assert row["status"] == "nodata" and row["reason"] == "Nothing scores answers here."
    assert world.alerts("error") == []
