"""The topic map as a command: what it shows, that it is the same again, and what it needs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from monitors import layout, orders, topic_map
from store import accounts, commands, inferences, labelling
from store.unit_of_work import Store
from tests.monitors_world import OTHER, World, world_on


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    with empty_store.write(made.now) as tx:
        accounts.create(tx, "otto", "a long enough password", "operator", actor="system:setup")
    return made


def draw(world: World, rows: int = 100) -> dict[str, Any]:
    shares: list[float] = []
    found = topic_map.run(topic_map.Asked(rows), world.effects, shares.append)
    assert shares == sorted(shares)
    return found


def test_a_new_topic_is_named_with_its_shares_and_stands_apart(world: World) -> None:
    world.add("prompt_drift", params={"reference": 100, "horizon": 3000})
    world.send(160)
    world.run("prompt_drift")
    new = world.send(40, words=OTHER)
    found = draw(world)
    assert found["against"] == "prompt_drift"
    assert (found["reference"]["rows"], found["current"]["rows"]) == (100, 100)
    points, first = found["points"], found["topics"][0]
    assert len({len(column) for column in points.values()}) == 1 and sum(points["now"]) == 100
    assert first["significant"] and first["reference"] == 0 and first["now"] >= 10
    assert first["difference"]["low"] > 0 and first["share"]["n"] == 100 and first["was"]["high"] < 0.1
    assert set(first["examples"]) <= set(new) and first["examples"]
    of_topic = [i for i, topic in enumerate(points["topic"]) if topic == 0]
    assert {points["id"][i] for i in of_topic} <= set(new)
    # Neighbours share words, so those of a new prompt are new, and the plane keeps them together.
    places = np.stack([points["x"], points["y"]], axis=1)
    fresh = [i for i, id in enumerate(points["id"]) if id in new]
    usual = [i for i in range(200) if i not in fresh]
    assert np.mean([points["near"][i][0] in fresh for i in fresh]) > 0.9
    own = np.linalg.norm(places[fresh][:, None] - places[fresh][None], axis=2).mean()
    assert own < np.linalg.norm(places[fresh][:, None] - places[usual][None], axis=2).mean()
    assert all(0 <= value <= layout.SIDE for value in [*points["x"], *points["y"]])
    assert max(points["p"][i] for i in fresh) < 0.2
    assert points["p"][:100] == [None] * 100
    assert draw(world)["points"] == points


def test_without_a_reference_the_traffic_before_is_compared(world: World) -> None:
    world.send(120)
    found = draw(world, 60)
    assert found["against"] == "" and found["points"]["now"] == [0] * 60 + [1] * 60
    assert not any(topic["significant"] for topic in found["topics"])
    with world.store.write(world.now) as tx:
        excluded = [row.uuid for row in inferences.by_ids(tx, found["points"]["id"][:5])]
        labelling.mark(tx, excluded, "exclude", actor="otto", reason="A load test.")
    again = draw(world, 60)
    assert again["reference"]["rows"] == 55 and not set(again["points"]["id"]) & set(found["points"]["id"][:5])


def test_too_little_traffic_is_a_sentence_with_a_number(world: World) -> None:
    world.send(70)
    with pytest.raises(InvalidInput, match="15 more exchanges are needed in the traffic since"):
        draw(world, 60)


@pytest.mark.parametrize("rows", [None, "many", 49, 1001, 60.0])
def test_a_map_of_another_size_is_refused(rows: Any) -> None:
    with pytest.raises(InvalidInput, match="50 to 1000"):
        topic_map.Asked.read({"rows": rows})


def test_the_page_asks_and_the_long_lane_draws(world: World) -> None:
    world.send(120)
    with world.store.write(world.now) as tx:
        uuid = commands.ask(tx, "topic_map", owner="monitors", args={"rows": 60}, actor="otto")
    assert asyncio.run(orders.obey(world.effects, "p", orders.SHORT)) == ""
    assert asyncio.run(orders.obey(world.effects, "p", orders.LONG)) == "topic_map done for otto"
    with world.store.read() as tx:
        assert len(commands.get(tx, uuid)["result"]["points"]["id"]) == 120


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 30])
def test_a_plane_of_any_size_is_whole_numbers_in_its_square(n: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, 16)).astype(np.float32)
    places = layout.plane(rows, seed=1)
    assert places.shape == (n, 2) and places.dtype == int
    assert ((places >= 0) & (places <= layout.SIDE)).all()
    assert (places == layout.plane(rows, seed=1)).all()
