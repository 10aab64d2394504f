"""The monitors of answers' meaning and form, and of training data, from rows to alert."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.settings import MonitorSettings
from core.types import PreferencePair
from store import pairs
from store.unit_of_work import Store
from tests.monitors_world import OTHER, SHOP, World, world_on


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    return world_on(empty_store, tmp_path, monitors=MonitorSettings(budget=1.0))


def test_answers_of_another_meaning_alarm_and_their_topics_are_those_of_the_answers(world: World) -> None:
    world.add("response_drift", params={"reference": 200}, enabled=True)
    world.send(260, response=lambda i: world.prompt(SHOP))
    world.run("response_drift")
    assert world.state("rule:response_drift") == "inactive"
    ids = world.send(40, response=lambda i: world.prompt(OTHER))
    world.run("response_drift")
    (alert,) = world.alerts("rule")
    why = alert["why"]
    assert why["rows"] and {row["inference"] for row in why["rows"]} <= set(ids)
    first = why["topics"][0]
    assert first["significant"] and set(first["name"].split(" · ")) <= set(OTHER)
    assert "acknowledge" in why["suggested"]


def test_a_release_that_answers_otherwise_is_compared_with_the_answers_before(world: World) -> None:
    world.add("response_drift", params={"reference": 200}, enabled=True)
    world.release("assistant-base")
    world.send(260, response=lambda i: world.prompt(SHOP))
    world.run("response_drift")
    world.release("assistant-v1")
    world.send(60, version="assistant-v1", response=lambda i: world.prompt(OTHER))
    world.run("response_drift")
    assert world.state("rule:response_drift") == "firing"
    assert world.alerts("rule")[0]["why"]["reference"]["version"] == "assistant-base"


def test_answers_broken_off_alarm_and_the_form_is_named(world: World) -> None:
    world.add("response_format", enabled=True)
    world.send(260)
    world.run("response_format")
    world.send(30, finish_reason="length")
    world.run("response_format")
    (alert,) = world.alerts("rule")
    assert "Most grown: cut off" in alert["why"]["view_words"]
    assert alert["why"]["rows"][0]["view"] == "cut off"


def test_told_addresses_alarm_and_are_in_no_row_of_the_monitor(world: World) -> None:
    world.add("response_pii", enabled=True)
    world.send(260)
    world.run("response_pii")
    world.send(40, response=lambda i: f"Ask anna{i}@firma.de about it." if i % 2 else "It will arrive.")
    world.run("response_pii")
    (alert,) = world.alerts("rule")
    assert "firma" not in repr(dict(alert)) + repr([dict(row) for row in world.measured("response_pii")])
    assert all(b"firma" not in bytes(epoch["state"]) for epoch in world.epochs())


def test_paused_defaults_do_not_run_and_take_no_share(world: World) -> None:
    world.add("response_format")
    world.add("refusal_rate")
    world.send(260)
    assert world.run("response_format") is None
    world.run("refusal_rate")
    (epoch,) = world.epochs()
    assert epoch["alpha"] > 0.01


def approve(world: World, prompts: list[str]) -> None:
    made = [
        PreferencePair("", [{"role": "user", "content": prompt}], "yes", "no", licence="MIT", source="test")
        for prompt in prompts
    ]
    with world.store.write(world.now) as tx:
        pairs.add(tx, made, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")


def test_prompts_unlike_those_of_the_approved_pairs_are_counted(world: World) -> None:
    world.add("ood_rate", enabled=True)
    approve(world, [world.prompt(SHOP) for _ in range(90)])
    world.send(60)
    world.run("ood_rate", 3600)
    measured = world.measured("ood_rate")[-1]
    assert measured["status"] == "nodata" and "more prompts of approved pairs needed" in measured["reason"]
    approve(world, [world.prompt(SHOP) for _ in range(200)])
    world.run("ood_rate", 3600)
    calm = world.measured("ood_rate")[-1]
    assert calm["status"] == "ok" and calm["value"] < 0.3 and calm["n"] == 60
    ids = world.send(120, words=OTHER)
    world.run("ood_rate", 3600)
    found = world.measured("ood_rate")[-1]
    assert found["status"] == "breach" and found["low"] > 0.5
    assert found["details"]["from_elsewhere_at_least"] > 0.4
    assert {row["inference"] for row in found["details"]["farthest"]} <= set(ids)
    assert world.state("rule:ood_rate") == "firing"
