"""A process with nothing to do only reads: SQLite's one write lock is left to those who have something to write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.settings import RetrainSettings
from core.types import ModelVersion, PreferencePair
from monitors import cycle, delivery
from retrain import advice, decide
from retrain.app import App
from retrain.trial import Trials
from store import accounts, alerts, commands, deployments, pairs, tables, trials, versions
from store.alerts import Finding
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

ANN = "ann"


@pytest.fixture
def world(empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = world_on(empty_store, tmp_path)
    monkeypatch.setattr("retrain.app.Embedder", lambda *given: made.embed)
    made.settings = replace(made.settings, retrain=RetrainSettings(minimum_pairs=4))
    made.release("assistant-base")
    with made.store.write(made.now) as tx:
        tx.execute(sa.update(tables.deployments).values(verified_at=made.now))
        accounts.create(tx, ANN, "a long pass phrase", "approver", actor="system:test")
    return made


@contextmanager
def writing(store: Store) -> Iterator[list[list[str]]]:
    """The statements of each transaction meanwhile that took a lock to write, but for the processes' pulse."""
    transactions: dict[Any, list[str]] = {}
    found: list[list[str]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        transactions.setdefault(connection, []).append(" ".join(statement.split()))

    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", note)
        starts = ("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE")
        for statements in transactions.values():
            locks = [text for text in statements if text.startswith(starts) or "FOR UPDATE" in text]
            if locks and not any("heartbeats" in text for text in locks):
                found.append(statements)


def fire(world: World, metric: str) -> None:
    with world.store.write(world.now) as tx:
        id = tx.insert(tables.monitors, name=metric, metric=metric, created_at=world.now)
        alerts.apply(tx, Finding(monitor=metric, kind="rule", breach=True, summary="It moved.", monitor_id=id))


def approve(world: World, number: int) -> None:
    with world.store.write(world.now) as tx:
        rows = [
            PreferencePair("", [{"role": "user", "content": f"Question {n}?"}], "Yes.", "No.", licence="CC0-1.0")
            for n in range(number)
        ]
        pairs.add(tx, rows, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")


def turn(world: World) -> list[str]:
    """A turn of everything that the worker does again and again; returns what it told."""
    told: list[str] = []
    app = App(world.settings, world.store, "key", clock=lambda: world.now, tell=told.append)

    async def run() -> None:
        for take, _ in app.turns():
            if line := await take():
                told.append(line)
        await app.releaser.step()
        await asyncio.to_thread(app.trials.step)
        assert not await app.worker.take()
        await app.asker.close()

    asyncio.run(run())
    return told


@pytest.mark.slow
def test_a_worker_without_work_takes_no_lock_and_sees_what_comes(world: World) -> None:
    fire(world, "prompt_drift")
    assert any("nothing proposed" in line for line in turn(world))
    with writing(world.store) as found:
        assert turn(world) == []
    assert found == [], "an alert that got its comment asks for no more"
    approve(world, 8)
    assert any("proposed retrain" in line for line in turn(world))
    fire(world, "refusal_rate")
    assert any("already waits" in line for line in turn(world))
    with writing(world.store) as found:
        turn(world)
    assert found == [], "a second alert that was pointed at the proposal asks for no more"
    world.now += timedelta(hours=world.settings.retrain.decision_hours + 1)
    turn(world)
    with world.store.read() as tx:
        states = [row["state"] for row in tx.all(sa.select(tables.decisions).order_by(tables.decisions.c.id))]
    assert states == ["expired", "proposed"]


def test_the_outlook_of_a_proposal_is_asked_for_once_however_many_alerts_follow(world: World) -> None:
    approve(world, 8)
    fire(world, "prompt_drift")
    fire(world, "refusal_rate")
    for _ in range(3):
        with world.store.write(world.now) as tx:
            decide.decide(tx, world.settings)
        with world.store.write(world.now) as tx:
            if (row := commands.claim(tx, advice.OWNER, "worker", 60, kinds=(advice.KIND,))) is not None:
                commands.finish(tx, row["id"], {}, process="worker")
    with world.store.read() as tx:
        assert len(tx.all(sa.select(tables.commands))) == 1


def test_a_notice_that_a_silence_holds_is_looked_at_without_a_lock(world: World) -> None:
    with world.store.write(world.now) as tx:
        accounts.create(tx, "olga", "a long pass phrase", "operator", actor="system:test")
        tx.insert(tables.channels, name="log", kind="log", config={}, enabled=True, created_at=world.now)
        until = world.now + timedelta(hours=2)
        alerts.silence(tx, monitor="", reason="We know.", ends_at=until, actor="olga")
        alerts.apply(tx, Finding("errors", "rule", True, "errors is high."))

    def deliver() -> int:
        return asyncio.run(delivery.deliver(world.store, world.settings, lambda: world.now))

    assert deliver() == 0
    with writing(world.store) as found:
        assert deliver() == 0
    assert found == []
    world.now = until
    assert deliver() == 1


def test_a_trial_that_a_person_holds_is_looked_at_without_a_lock(world: World) -> None:
    with world.store.write(world.now) as tx:
        versions.register(tx, ModelVersion("assistant-new", "9" * 64, "remote", "chat", "", world.now), actor="x")
        uuid = deployments.request_promotion(tx, "assistant", "assistant-new", actor=ANN, reason="Better.", shadow=4)
        trials.begin(tx, deployments.requested(tx)[0]["id"], "shadow", actor="x")
        trials.hold(tx, uuid, actor=ANN, reason="Let me look.")
    world.send(8, kind="shadow", version="assistant-new")
    worker = Trials(world.store, world.settings, clock=lambda: world.now, tell=lambda line: None)
    worker.step()
    with writing(world.store) as found:
        worker.step()
    assert found == []
    with world.store.write(world.now) as tx:
        trials.let_go(tx, uuid, actor=ANN, reason="Go on.")
    worker.step()
    with world.store.read() as tx:
        assert trials.running(tx) == []


def test_a_tick_that_is_done_is_passed_over_without_a_lock(world: World) -> None:
    world.add("errors")
    assert cycle.run_due("errors", world.effects) is not None
    with writing(world.store) as found:
        assert cycle.run_due("errors", world.effects) is None
    assert found == []
