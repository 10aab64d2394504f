"""expert_load from the server's report to the alert: a server without one, an even load, an expert that takes all."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Unavailable
from core.ports import ExpertLoad
from store.unit_of_work import Store
from tests.monitors_world import World, world_on


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    made.add("expert_load", enabled=True)
    made.release("assistant-base")
    return made


def of(shares: tuple[int, ...], answers: int = 100) -> ExpertLoad:
    """Answers of ten tokens in one layer, all alike."""
    rows = [[[answers * count**power * more for count in shares]] for power, more in ((1, 1), (2, 1), (1, 10))]
    return ExpertLoad(answers, 10 * answers, 100 * answers, 1, *rows)


def test_it_asks_about_the_live_version_and_alarms_while_one_expert_takes_all(world: World) -> None:
    asked = []
    shown: list[ExpertLoad | None] = [None, of((3, 3, 4)), of((10, 0, 0)), of((3, 3, 4))]

    def experts(*, version: str, deadline_seconds: float) -> ExpertLoad | None:
        asked.append(version)
        return shown.pop(0)

    world.experts = experts
    told = []
    for _ in range(4):
        world.run("expert_load", 3600)
        row = world.measured("expert_load")[-1]
        told.append((row["status"], row["version"], world.state("rule:expert_load")))
    assert asked == ["assistant-base"] * 4
    assert told == [
        ("nodata", "assistant-base", "inactive"),
        ("ok", "assistant-base", "inactive"),
        ("breach", "assistant-base", "firing"),
        ("ok", "assistant-base", "inactive"),
    ]
    first, *_ = world.measured("expert_load")
    assert first["reason"] == "This server reports no expert load."


def test_a_gateway_that_does_not_answer_is_an_error_and_resolves_nothing(world: World) -> None:
    world.experts = lambda **how: of((10, 0, 0))
    world.run("expert_load", 3600)

    def away(**how: object) -> ExpertLoad | None:
        raise Unavailable("The gateway does not answer.", "Start it.")

    world.experts = away
    world.run("expert_load", 3600)
    assert world.state("rule:expert_load") == "firing" and world.state("error:expert_load") == "firing"
