"""What would mend a shift, from the alarm to the alert's evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.types import Feedback, PreferencePair
from store import feedback, pairs
from store.unit_of_work import Store
from tests.monitors_world import OTHER, SHOP, World, world_on


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    made.add("prompt_drift", params={"reference": 300, "horizon": 3000})
    return made


def hold(world: World, words: list[str], n: int) -> None:
    """Approve `n` pairs whose prompts are made of `words`."""
    made = [
        PreferencePair(
            f"00000000-0000-4000-a000-{world.count + i:012d}",
            [{"role": "user", "content": world.prompt(words)}],
            f"good {i}",
            "bad",
            at=world.now,
            source="test",
            licence="own",
        )
        for i in range(n)
    ]
    world.count += n
    with world.store.write(world.now) as tx:
        pairs.add(tx, made, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")


def test_an_alarm_says_which_pairs_it_has_and_what_to_label(world: World) -> None:
    hold(world, SHOP, 30)
    hold(world, OTHER, 5)
    world.send(400)
    world.run("prompt_drift")
    ids = world.send(60, words=OTHER)
    with world.store.write(world.now) as tx:
        told = feedback.preferred(tx, ids)
    assert told == frozenset()
    world.run("prompt_drift")
    (alert,) = world.alerts("rule")
    first = alert["evidence"]["mending"][0]
    assert alert["why"]["evidence"]["mending"] == alert["evidence"]["mending"]
    assert first["topic"] == alert["why"]["topics"][0]["name"]
    assert 0 < first["held"] <= 5 and len(first["pairs"]) == first["held"]
    assert first["wanted"] > first["held"] and first["sentence"].startswith(
        f"{first['held']} of {first['wanted']} pairs"
    )
    new = {f"00000000-0000-4000-8000-{key:012d}" for key in range(world.count - 59, world.count + 1)}
    assert first["label"] and set(first["label"]) <= new


def test_what_is_labelled_already_is_not_named(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    ids = world.send(60, words=OTHER)
    uuids = [f"00000000-0000-4000-8000-{world.count - 59 + i:012d}" for i in range(60)]
    with world.store.write(world.now) as tx:
        for i, uuid in enumerate(uuids[:30]):
            said = Feedback(f"00000000-0000-4000-b000-{i:012d}", world.now, "correction", uuid, chosen="better")
            assert feedback.record(tx, said)
        assert feedback.preferred(tx, ids) == frozenset(ids[:30])
    world.run("prompt_drift")
    (alert,) = world.alerts("rule")
    assert alert["evidence"]["mending"]
    for told in alert["evidence"]["mending"]:
        assert not set(told["label"]) & set(uuids[:30]) and told["unlabelled"] >= len(told["label"])


def test_a_failing_encoder_costs_no_alert(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    world.send(60, words=OTHER)
    calls = []
    embed = world.embed

    def breaking(texts: list[str]) -> object:
        calls.append(texts)
        # The units, then the topics; what would mend them comes last.
        if len(calls) > 2:
            raise RuntimeError("the encoder is gone")
        return embed(texts)

    world.embed = breaking
    outcome = world.run("prompt_drift")
    assert outcome is not None and outcome.state == "done" and len(outcome.fired) == 1
    (alert,) = world.alerts("rule")
    assert "mending" not in alert["evidence"] and alert["why"]["topics"]
