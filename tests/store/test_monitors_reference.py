"""Commands that pages ask of the monitors' process: another reference, and a backtest on the traffic there is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import Forbidden
from monitors import cycle, orders, rehearsal
from monitors.reference import Asked
from store import accounts, audit, commands, options
from store import monitors as rows
from store.queries.budget import LEDGER
from store.unit_of_work import Store
from tests.monitors_world import OTHER, World, world_on

PARAMS = {"reference": 300, "horizon": 3000}


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    with made.store.write(made.now) as tx:
        for name, role in {"otto": "operator", "vera": "viewer"}.items():
            accounts.create(tx, name, "a long password 1", role, actor="system:setup")
    made.add("prompt_drift", params=PARAMS)
    return made


def ask(world: World, kind: str, **args: Any) -> Mapping[Any, Any]:
    """Ask as otto, let the process obey, and return what became of it."""
    world.now += timedelta(seconds=1)
    with world.store.write(world.now) as tx:
        uuid = commands.ask(tx, kind, owner="monitors", args={"monitor": "prompt_drift", **args}, actor="otto")
    for kinds in (orders.SHORT, orders.LONG):
        asyncio.run(orders.obey(world.effects, "p1", kinds))
    with world.store.read() as tx:
        return commands.get(tx, uuid)


def granted(world: World) -> dict[str, float]:
    with world.store.read() as tx:
        kept = options.get(tx, LEDGER)
    return dict(kept["budget"]["grants"].get("prompt_drift", {})) if kept else {}


def test_the_last_rows_become_the_reference_by_a_persons_decision(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    world.send(250, words=OTHER)
    world.run("prompt_drift")
    assert world.state("rule:prompt_drift") == "firing"
    refused = ask(world, "take_reference", units=200, reason="The campaign stays.")
    assert refused["state"] == "failed" and "fires" in refused["message"]
    assert len(world.epochs()) == 1
    done = ask(world, "take_reference", units=200, reason="The campaign stays.", confirmed=True)
    assert done["state"] == "done", done["message"]
    first, second = world.epochs()
    assert (first["ended_at"] is not None, second["reference_rows"], second["reference_last"]) == (True, 200, 650)
    assert second["reference_first"] == 451 and second["seen_id"] == 650
    assert second["reason"] == "otto took 200 rows as the reference: The campaign stays."
    assert world.state("rule:prompt_drift") == "firing", "nothing new was read yet: absence resolves nothing"
    assert set(granted(world)) == {"prompt_drift/1", "prompt_drift/2"}
    assert second["alpha"] == granted(world)["prompt_drift/2"] > 0
    with world.store.read() as tx:
        begun = [event for event in audit.events(tx) if event.kind == "epoch.started"]
        assert audit.verify(tx).bad is None
    assert [event.actor for event in begun] == [rows.ACTOR, "otto"]
    world.send(100, words=OTHER)
    world.run("prompt_drift")
    assert world.state("rule:prompt_drift") == "inactive", "what was new is usual now"
    assert world.epochs()[-1]["seen_rows"] == 100


def test_a_window_since_a_date_begins_there(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    world.now += timedelta(days=3)
    since = world.now
    world.send(310)
    world.run("prompt_drift")
    done = ask(world, "take_reference", since=since.isoformat(), reason="A new season.")
    assert done["state"] == "done", done["message"]
    assert world.epochs()[-1]["reference_rows"] == 310
    assert world.epochs()[-1]["reference_first"] == 401


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"units": 5, "reason": "Because."}, "are needed"),
        ({"units": 4000, "reason": "Because."}, "The window holds 400 rows that the monitor has read; 4000 are needed"),
        ({"since": "2031-01-01", "reason": "Because."}, "The window holds 0 rows"),
        ({"since": "soon", "reason": "Because."}, "no date"),
        ({"units": 300, "reason": "Because.", "epoch": 7}, "Another epoch has begun since"),
        ({"units": 0, "reason": "Because."}, "no window"),
        ({"reason": "Because."}, "no window"),
        ({"units": 300, "reason": " "}, "needs a reason"),
        ({"units": 300, "reason": "Because.", "monitor": "errors"}, "compares with no reference"),
        ({"units": 300, "reason": "Because.", "monitor": "nothing"}, "no monitor named nothing"),
    ],
)
def test_what_is_no_reference_is_refused_in_a_sentence_and_raises_no_alert(
    world: World, args: dict[str, Any], told: str
) -> None:
    world.add("errors")
    world.send(400)
    world.run("prompt_drift")
    before, spent = world.epochs(), granted(world)
    refused = ask(world, "take_reference", **args)
    assert refused["state"] == "failed" and told in refused["message"]
    assert (world.epochs(), granted(world)) == (before, spent)
    assert world.state("error:prompt_drift") == "inactive"
    assert world.run("prompt_drift").state == "done"  # type: ignore[union-attr]


def test_a_first_reference_is_not_replaced_while_it_is_collected(world: World) -> None:
    world.send(100)
    world.run("prompt_drift")
    refused = ask(world, "take_reference", units=60, reason="Enough for me.")
    assert "still collecting its first reference" in refused["message"]


def test_a_role_lost_since_the_click_counts(world: World) -> None:
    world.send(400)
    world.run("prompt_drift")
    with pytest.raises(Forbidden):
        cycle.take_reference("prompt_drift", Asked("vera", "I want to.", 200), world.effects)
    with world.store.write(world.now) as tx, pytest.raises(Forbidden):
        commands.ask(tx, "take_reference", owner="monitors", args={}, actor="vera")


def test_a_monitor_that_runs_gives_way_in_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.send(400)
    world.run("prompt_drift")
    real, turns = cycle.take_reference, []

    def busy_at_first(*given: Any) -> Any:
        turns.append(given)
        return real(*given) if len(turns) > 2 else None

    monkeypatch.setattr(cycle, "take_reference", busy_at_first)
    monkeypatch.setattr(orders, "TURN_SECONDS", 0.0)
    assert ask(world, "take_reference", units=300, reason="The season.")["state"] == "done"
    assert len(turns) == 3


def test_a_backtest_replays_the_newest_traffic_with_its_progress(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.send(500)
    world.send(200, words=OTHER)
    told: list[float] = []
    run = rehearsal.run
    monkeypatch.setattr(rehearsal, "run", lambda asked, effects, report: run(asked, effects, told.append))
    done = ask(world, "backtest", rows=600, reference=300, every=50, budget=0.1)
    assert done["state"] == "done", done["message"]
    found, summary = done["result"]["looks"], done["result"]["summary"]
    assert [look["seen"] for look in found] == [350, 400, 450, 500, 550, 600]
    assert told == [look["seen"] / 600 for look in found]
    assert (summary["rows"], summary["alarms"], summary["first_alarm_seen"]) == (600, 1, 450)
    assert world.epochs() == [] and world.alerts() == []


def test_a_backtest_may_read_one_conversation_in_so_many(world: World) -> None:
    world.send(900)
    done = ask(world, "backtest", rows=300, reference=150, every=50, budget=0.1, one_in=3)
    assert done["state"] == "done", done["message"]
    summary = done["result"]["summary"]
    assert (summary["rows"], summary["one_in"], summary["alarms"]) == (300, 3, 0)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"one_in": 0}, "One conversation in so many"),
        ({"rows": 600, "reference": 600}, "the reference alone takes 600"),
        ({"rows": 30_000}, "reads 1 to 20,000 rows"),
        ({"rows": 20_000, "every": 1}, "more than 500 looks"),
        ({"budget": 1.5}, "a probability"),
        ({"rows": "many"}, "no backtest"),
        ({"monitor": "errors"}, "cannot be backtested"),
    ],
)
def test_what_cannot_be_replayed_is_refused_in_a_sentence(world: World, args: dict[str, Any], told: str) -> None:
    world.add("errors")
    world.send(400)
    asked = {"rows": 400, "reference": 300, "every": 50, "budget": 0.1, **args}
    refused = ask(world, "backtest", **asked)
    assert refused["state"] == "failed" and told in refused["message"]


def test_a_foreign_failure_ends_the_command_and_not_the_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> Any:
        raise RuntimeError("the text of a customer")

    world.send(400)
    monkeypatch.setattr(rehearsal, "run", broken)
    failed = ask(world, "backtest", rows=400, reference=300, every=50, budget=0.1)
    assert failed["state"] == "failed" and "RuntimeError" in failed["message"] and "customer" not in failed["message"]
