"""An alarm that may go both ways says which way it went and by how much: in the alert, its why and the notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.settings import MonitorSettings
from store.tables import alert_transitions
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

Says = Callable[[int], str]


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path, monitors=MonitorSettings(budget=1.0))
    made.add("response_length")
    made.release("assistant-base")
    return made


def usual(number: int) -> str:
    """Answers of about 100 characters."""
    return "word " * (18 + number % 5)


def alarm(world: World, says: Says, n: int = 60) -> dict[str, Any]:
    """The alert that answers like `says` raise after usual ones."""
    world.send(260, response=usual)
    world.run("response_length")
    world.send(n, response=says)
    assert (outcome := world.run("response_length")) is not None and outcome.fired
    (alert,) = world.alerts("rule")
    return dict(alert)


@pytest.mark.parametrize(
    ("says", "way", "told"),
    [
        (lambda i: "word " * (60 + i % 7), "longer", "315 characters (310 to 320 characters, n = 60), 215 characters"),
        (lambda i: "word " * (8 + i % 3), "shorter", "45 characters (45 to 45 characters, n = 60), 55 characters"),
    ],
)
def test_answers_that_changed_in_length_are_said_to_be_longer_or_shorter(
    world: World, says: Says, way: str, told: str
) -> None:
    alert = alarm(world, says)
    summary, why = alert["summary"], alert["why"]
    said = f"Answers are {way} than in the reference. Response length since the change is {told} {way}"
    assert summary.startswith(f"{said} than the reference's 100 characters (by ")
    assert why["view_words"] == f"Answers are {way} than in the reference." and why["sentence"] == summary
    change = why["details"]["change"]
    assert change["low"] <= change["value"] <= change["high"] and change["low"] * change["high"] > 0
    with world.store.read() as tx:
        (row,) = tx.all(sa.select(alert_transitions).where(alert_transitions.c.new == "firing"))
    assert row["reason"] == summary, "of which notices are made"


def test_too_few_rows_say_the_way_and_how_many_are_missing(world: World) -> None:
    alert = alarm(world, lambda i: "word " * 400, n=12)
    assert "Answers are longer than in the reference; 8 more are needed to say by how much." in alert["summary"]
    assert "change" not in alert["why"]["details"]


def test_lengths_that_only_spread_are_neither_longer_nor_shorter(world: World) -> None:
    alert = alarm(world, lambda i: "word " * (2, 20, 90)[i % 3], n=200)
    assert alert["summary"].startswith(
        "The mix of short and long answers has changed. Response length since the change"
    )
    assert "not clearly longer or shorter than the reference's 100 characters" in alert["summary"]


def test_a_share_says_how_many_points_it_rose(world: World) -> None:
    world.add("refusal_rate")
    world.send(260, response=usual)
    world.run("refusal_rate")
    world.send(60, response=lambda i: "I'm sorry, but I can't help with that request.")
    world.run("refusal_rate")
    (alert,) = world.alerts("rule")
    assert "points more than the reference's 0.0 % (by " in alert["summary"]
    assert alert["why"]["view_words"] in alert["summary"]


def test_a_quiet_look_is_compared_too(world: World) -> None:
    world.send(300, response=usual)
    world.run("response_length")
    change = world.measured("response_length")[-1]["details"]["change"]
    assert not change["since_onset"] and change["low"] <= 0 <= change["high"]
