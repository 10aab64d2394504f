"""preference_accuracy from choices to alert: which choices count, what a server without scores leads to, the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.types import Feedback
from store import feedback, inferences
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

GOOD, BAD = "a helpful answer", "a rude answer"


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    made.add("preference_accuracy", enabled=True)
    made.score = likes_help
    made.release("assistant-base")
    return made


def likes_help(items: Sequence[Mapping[str, Any]], *, version: str, deadline_seconds: float) -> list[float]:
    """The base finds all words alike; an adapter has learnt to prefer helpful ones."""
    taught = version != "assistant-base"
    return [-10.0 + 3.0 * (taught and "helpful" in item["completion"]) for item in items]


def choose(world: World, n: int, *, wrong: int = 0, longer: str = "") -> list[int]:
    """`n` choices of the helpful answer, the first `wrong` of the rude one."""
    ids = world.send(n)
    with world.store.write(world.now) as tx:
        for i, row in enumerate(inferences.by_ids(tx, ids)):
            world.count += 1
            pair = (BAD, GOOD) if i < wrong else (GOOD, BAD)
            uuid = f"00000000-0000-4000-9000-{world.count:012d}"
            feedback.record(
                tx, Feedback(uuid, world.now, "choice", row.uuid, chosen=pair[0] + longer, rejected=pair[1] + longer)
            )
    return ids


def look(world: World) -> Mapping[str, Any]:
    world.run("preference_accuracy", 3600)
    return last(world, "preference_accuracy")


def last(world: World, metric: str) -> Mapping[str, Any]:
    return [row for row in world.measured("preference_accuracy") if row["metric"] == metric][-1]


def test_only_choices_after_the_release_count_and_the_base_alone_has_no_reward(world: World) -> None:
    choose(world, 60, wrong=60)
    assert "no adapter" in look(world)["reason"]
    world.release("assistant-v1")
    choose(world, 12)
    early = look(world)
    assert early["status"] == "nodata" and "more choices needed" in early["reason"]
    choose(world, 28, wrong=7)
    choose(world, 9, longer=" x" * 4000)
    told = look(world)
    assert (told["value"], told["n"], told["status"]) == (pytest.approx(33 / 40), 40, "ok")
    assert told["low"] < 33 / 40 < told["high"]


def test_people_who_prefer_the_opposite_raise_an_alarm_with_their_choices(world: World) -> None:
    world.release("assistant-v1")
    choose(world, 80)
    assert look(world)["status"] == "ok"
    ids = choose(world, 100, wrong=85)
    told = look(world)
    assert told["value"] == pytest.approx(0.15) and told["n"] == 100
    assert {row["inference"] for row in told["details"]["most_wrong"]} <= set(ids[:85])
    assert world.state("rule:preference_accuracy") == "firing"


def test_a_server_that_cannot_score_is_missing_data_and_ends_no_alarm(world: World) -> None:
    world.release("assistant-v1")
    choose(world, 100, wrong=90)
    assert look(world)["status"] == "breach"
    world.score = type(world).score
    told = look(world)
    assert told["status"] == "nodata" and "scores" in told["reason"]
    assert world.state("rule:preference_accuracy") == "firing"


def test_people_who_change_their_minds_raise_an_alarm_before_they_prefer_the_opposite(world: World) -> None:
    world.release("assistant-v1")
    choose(world, 100, wrong=4)
    assert look(world)["status"] == "ok"
    choose(world, 100, wrong=35)
    told = look(world)
    assert told["value"] == pytest.approx(0.65) and told["status"] == "ok"
    change = last(world, "preference_change")
    assert change["value"] == pytest.approx(0.65 - 0.96) and change["high"] < 0
    assert world.state("rule:preference_accuracy") == "inactive"
    assert world.state("rule:preference_accuracy:preference_change") == "firing"


def test_known_choices_are_not_scored_again_and_only_new_ones_make_a_look(world: World) -> None:
    scored: list[int] = []

    def counting(items: Sequence[Mapping[str, Any]], **how: Any) -> list[float]:
        scored.append(len(items))
        return likes_help(items, **how)

    world.score = counting
    world.release("assistant-v1")
    choose(world, 30)
    first, again = look(world), look(world)
    assert scored == [60, 60, 2, 2] and (again["low"], again["high"]) == (first["low"], first["high"])
    choose(world, 5)
    world.score = type(world).score
    assert look(world)["status"] == "nodata"
    world.score = counting
    third = look(world)
    assert scored == [60, 60, 2, 2, 10, 10] and third["details"]["look"] == 2 and len(third["details"]["margins"]) == 35
    world.release("assistant-v2")
    choose(world, 30)
    assert look(world)["details"]["look"] == 1
