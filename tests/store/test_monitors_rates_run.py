"""The rate monitors across releases: a regression alarms soon, a rollback compares with the old, and calm stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.settings import MonitorSettings
from monitors import ledger
from store import monitors as rows
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

REFUSAL = "I'm sorry, but I can't help with that request."
NAMES = ("refusal_rate", "negative_feedback", "response_length")


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path, monitors=MonitorSettings(budget=1.0))
    for name in NAMES:
        made.add(name)
    made.release("assistant-base")
    return made


def answers(world: World, n: int, *, refuse: int = 0, down: int = 10, version: str = "assistant-base") -> None:
    """`n` answers, one in `refuse` a refusal, one judgement in `down` negative."""
    ids = world.send(
        n, version=version, response=lambda i: REFUSAL if refuse and i % refuse == 0 else "It will arrive."
    )
    world.judge(ids, lambda i: -1.0 if i % down == 0 else 1.0)


def run_all(world: World) -> list[str]:
    return [name for name in NAMES if (outcome := world.run(name)) is not None and outcome.fired]


def test_a_bad_release_alarms_within_80_answers_and_the_rollback_resolves_it(world: World) -> None:
    answers(world, 260)
    assert run_all(world) == []
    world.release("assistant-v1")
    fired = []
    for _ in range(8):
        answers(world, 10, refuse=2, down=2, version="assistant-v1")
        fired += run_all(world)
    assert {"refusal_rate", "negative_feedback"} <= set(fired)
    why = world.alerts("rule")[0]["why"]
    assert why["reference"]["version"] == "assistant-base"
    assert any("assistant-v1 went live" in change["what"] for change in why["changes"])
    world.roll_back()
    for _ in range(4):
        answers(world, 30)
        assert run_all(world) == []
    assert world.state("rule:refusal_rate") == "inactive"
    assert world.state("rule:negative_feedback") == "inactive"
    after = [epoch for epoch in world.epochs() if epoch["ended_at"] is None]
    assert {epoch["details"]["reference_version"] for epoch in after} == {"assistant-base"}


def test_a_release_like_the_one_before_raises_no_alarm(world: World) -> None:
    answers(world, 260, refuse=10)
    run_all(world)
    world.release("assistant-v1")
    for _ in range(5):
        answers(world, 60, refuse=10, version="assistant-v1")
        assert run_all(world) == []


def test_with_too_few_answers_before_it_a_release_is_watched_in_the_running_epoch(world: World) -> None:
    answers(world, 20)
    world.release("assistant-v1")
    run_all(world)
    assert world.epochs() == []
    assert world.measured("refusal_rate")[-1]["status"] == "nodata"
    answers(world, 220, version="assistant-v1")
    run_all(world)
    assert {epoch["number"] for epoch in world.epochs()} == {1}


def test_longer_answers_alarm_and_name_their_rows(world: World) -> None:
    world.send(260, response=lambda i: "word " * (10 + i % 7))
    world.run("response_length")
    ids = world.send(60, response=lambda i: "word " * (60 + i % 7))
    world.run("response_length")
    (alert,) = world.alerts("rule")
    assert alert["why"]["value"] > 50
    assert {row["inference"] for row in alert["why"]["rows"]} <= set(ids)


def test_failed_exchanges_and_imports_without_answers_are_no_answers(world: World) -> None:
    world.send(30, status=503, error="upstream")
    world.send(400, kind="import", response=lambda i: "")
    run_all(world)
    assert world.measured("refusal_rate")[-1]["n"] == 0


@pytest.mark.slow
def test_the_alphas_of_a_period_stay_within_the_budget(world: World) -> None:
    for number in range(12):
        answers(world, 260, refuse=10, version="assistant-base" if not number else f"assistant-v{number}")
        run_all(world)
        world.release(f"assistant-v{number + 1}")
    assert len(world.epochs()) > 12
    assert sum(epoch["alpha"] for epoch in world.epochs()) <= 1.0


def test_busy_traffic_spreads_what_is_left_over_the_epochs_that_its_pace_brings(world: World) -> None:
    """An epoch that read its horizon within an hour leaves room for about two thousand more in the period."""
    read = {"seen_rows": 300, "horizon": 300}
    hour = {"first_at": world.now.isoformat(), "last_at": (world.now + timedelta(hours=1)).isoformat()}
    month = {**hour, "last_at": (world.now + timedelta(days=30)).isoformat()}
    settings = MonitorSettings(budget=1.0)
    with world.store.write(world.now) as tx:
        monitor = rows.get(tx, "refusal_rate")
        first = ledger.grant(tx, monitor, "1", settings)
        unhurried = ledger.grant(tx, monitor, "2", settings, before={**read, "details": month})
        unfinished = ledger.grant(tx, monitor, "3", settings, before={"seen_rows": 9, "horizon": 300, "details": hour})
        busy = [ledger.grant(tx, monitor, f"{n}", settings, before={**read, "details": hour}) for n in range(4, 9)]
        thinned = ledger.grant(tx, monitor, "9", settings, before={**read, "details": hour}, one_in=100)
    assert first == unhurried == unfinished
    assert 0 < busy[0] < first / 100
    assert busy == pytest.approx([busy[0]] * 5, rel=0.01)
    assert thinned == pytest.approx(100 * busy[0], rel=0.1), (
        "one that lasts a hundred times longer may spend as much more"
    )


def test_with_a_rhythm_the_value_says_which_hours_have_no_reference_yet(world: World) -> None:
    """It is eight o'clock: the reference knows the hours from six to nine, and fills those from nine on later."""
    world.add("response_length", params={"reference": 60, "rhythm": "day"})
    world.send(90)
    world.run("response_length")
    (epoch,) = world.epochs()
    shown = world.measured("response_length")[-1]
    assert (epoch["seen_rows"], shown["status"], shown["n"]) == (0, "nodata", 0)
    assert shown["details"]["unfilled"]["06:00 to 09:00"] == 10 and len(shown["details"]["unfilled"]) == 8
    assert "06:00 to 09:00: 10 more needed" in shown["reason"]
    world.send(60)
    world.run("response_length")
    shown = world.measured("response_length")[-1]
    assert "06:00 to 09:00" not in shown["details"]["unfilled"] and shown["details"]["seen"] == 50
    world.now += timedelta(hours=2)
    world.send(70)
    world.run("response_length")
    shown = world.measured("response_length")[-1]
    assert shown["details"]["unfilled"]["09:00 to 12:00"] == 30 and shown["details"]["seen"] == 50
    assert len(world.epochs()) == 1


def test_with_a_rhythm_an_alarm_compares_hours_with_the_same_hours(world: World) -> None:
    """Mornings and noons have their own questions. The alarm comes at noon, on longer answers: noon is no finding."""
    world.add("response_length", params={"reference": 260, "rhythm": "day"})

    def send(n: int, hour: int, minute: int = 0, **values: Any) -> None:
        world.now = world.now.replace(hour=hour, minute=minute)
        world.send(n, labels={"page": "orders" if hour < 9 else "lunch"}, **values)

    send(160, 8)
    send(100, 9)
    world.run("response_length")
    send(60, 9, 30, response=lambda i: "It will arrive. " * 40)
    assert (outcome := world.run("response_length")) is not None and outcome.fired
    why = world.alerts("rule")[0]["why"]
    assert {row["name"]: (row["reference"], row["p"]) for row in why["segments"]} == {"page=lunch": (100, 1.0)}
