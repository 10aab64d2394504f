"""A trial, an alert, a command or a process that fails at every look keeps none of those after it waiting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import TrimtabError, Unavailable
from core.settings import RetrainSettings, Settings
from core.types import ModelVersion, PreferencePair
from monitors import app as monitors_app
from retrain import decide, orders, trial
from retrain.app import App
from retrain.trial import Trials
from retrain.worker import Worker
from store import accounts, alerts, commands, decisions, deployments, pairs, tables, trials, versions
from store.alerts import Finding
from store.unit_of_work import Store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
nobody: Any = None  # an engine or a bench that is never asked


@pytest.fixture
def store(empty_store: Store) -> Store:
    with empty_store.write(NOW) as tx:
        accounts.create(tx, "otto", "a long pass phrase", "operator", actor="system:test")
        accounts.create(tx, "ann", "a long pass phrase", "approver", actor="system:test")
        rows = [
            PreferencePair("", [{"role": "user", "content": f"Where is parcel {n}?"}], "Here.", "No.", licence="own")
            for n in range(12)
        ]
        pairs.add(tx, rows, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")
        for number, name in enumerate(("assistant-base", "assistant-v1")):
            versions.register(tx, ModelVersion(name, str(number) * 64, "base", "chat", "", NOW), actor="x")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    return empty_store


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", models_home=tmp_path / "models", retrain=RetrainSettings(minimum_pairs=8))


def fire(store: Store, metric: str) -> None:
    with store.write(NOW) as tx:
        id = tx.insert(tables.monitors, name=metric, metric=metric, created_at=NOW)
        alerts.apply(tx, Finding(monitor=metric, kind="rule", breach=True, summary="It moved.", monitor_id=id))


def broken(*given: Any, **more: Any) -> Any:
    raise RuntimeError("each time")


@pytest.mark.parametrize("error", [TrimtabError("It cannot be read."), RuntimeError("each time")])
def test_a_trial_that_cannot_be_looked_at_keeps_no_other_waiting(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with store.write(NOW) as tx:
        for name in ("assistant", "other"):
            if name == "other":
                deployments.install(tx, name, "assistant-base", actor="system:setup")
            deployments.request_promotion(tx, name, "assistant-v1", actor="ann", reason="Better.", share=20)
        for row in deployments.requested(tx):
            trials.begin(tx, row["id"], "canary", actor="x")
    judge = trial.judge

    def stubborn(found: Any, **how: Any) -> Any:
        if looking[0] == "assistant":
            raise error
        return judge(found, **how)

    looking = [""]
    told: list[str] = []
    worker = Trials(store, settings, clock=lambda: NOW, tell=told.append)
    look = worker.look
    monkeypatch.setattr(trial, "judge", stubborn)
    monkeypatch.setattr(worker, "look", lambda row: (looking.__setitem__(0, row["deployment"]), look(row))[1])
    worker.step()
    worker.step()
    with store.read() as tx:
        judged = {row["deployment"]: bool(row["evidence"]) for row in trials.running(tx)}
    assert judged == {"assistant": False, "other": True}
    (line,) = told
    assert line.startswith("the canary of assistant-v1 could not be looked at: ")
    assert ("It cannot be read." in line) is isinstance(error, TrimtabError)


def test_an_alert_without_a_proposal_keeps_no_other_waiting(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fire(store, "prompt_drift")
    fire(store, "latency")
    monkeypatch.setattr("retrain.cost.count_tokens", broken)
    told: list[str] = []
    app = App(settings, store, "key", clock=lambda: NOW, tell=told.append)
    with pytest.raises(RuntimeError) as raised:
        asyncio.run(app._decide())
    assert raised.value.__notes__ == ["while a proposal was sought for the alert of prompt_drift"]
    assert [line for line in told if "nothing proposed for latency" in line]
    with store.read() as tx:
        assert decisions.waiting(tx) == [], "and nothing by halves"
        assert [row["actor"] for row in tx.all(sa.select(tables.alert_comments))] == [decide.ACTOR]


def test_a_command_that_raises_each_time_ends_and_the_next_is_carried_out(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(reason: str) -> str:
        args = {"kind": "retrain", "reason": reason}
        return commands.ask(tx, "propose", owner="retrain", args=args, actor="otto")

    with store.write(NOW) as tx:
        first, second = ask("Answers are curt."), ask("Answers are rude.")
    write = decisions.propose

    def half(*given: Any, **more: Any) -> str:
        write(*given, **more)
        raise RuntimeError("after it wrote")

    with monkeypatch.context() as patched:
        patched.setattr(decisions, "propose", half)
        with store.write(NOW) as tx:
            assert orders.obey(tx, settings, "w1").startswith("propose refused for otto: It failed with RuntimeError")
    with store.write(NOW) as tx:
        assert commands.get(tx, first)["state"] == "failed" and decisions.waiting(tx) == [], "what it wrote is undone"
        assert orders.obey(tx, settings, "w1") == "propose done for otto"
        assert commands.get(tx, second)["state"] == "done" and len(decisions.waiting(tx)) == 1


def test_what_the_database_refuses_for_a_moment_is_asked_again_and_what_was_written_twice_says_so(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write(NOW) as tx:
        args = {"kind": "retrain", "reason": "Answers are curt."}
        uuid = commands.ask(tx, "propose", owner="retrain", args=args, actor="otto")

    def raising(error: type[sa.exc.DBAPIError]) -> Any:
        def raise_it(*given: Any, **more: Any) -> str:
            raise error("INSERT", {}, Exception("database is locked"))

        return raise_it

    def obey() -> str:
        with store.write(NOW) as tx:
            return orders.obey(tx, settings, "w1")

    monkeypatch.setattr(decisions, "propose", raising(sa.exc.OperationalError))
    with pytest.raises(Unavailable):
        obey()
    with store.read() as tx:
        assert commands.get(tx, uuid)["state"] == "asked"
    monkeypatch.setattr(decisions, "propose", raising(sa.exc.IntegrityError))
    assert "Somebody else wrote the same thing" in obey()
    with store.read() as tx:
        assert commands.get(tx, uuid)["state"] == "failed"


def test_a_process_that_cannot_be_ended_keeps_no_other_waiting(store: Store, settings: Settings) -> None:
    ended: list[str] = []

    class Engine:
        def list(self) -> list[str]:
            return ["gone-1/1", "gone-2/2"]

        def stop(self, job: str, grace_seconds: float) -> None:
            if job == "gone-1/1":
                raise PermissionError("not ours")
            ended.append(job)

    told: list[str] = []
    made: Any = {"name": "w1", "clock": lambda: NOW, "tell": told.append, "ending": asyncio.Event()}
    engine: Any = Engine()
    worker = Worker(store, settings, engine, nobody, **made)
    assert not asyncio.run(worker.take())
    assert ended == ["gone-2/2"]
    assert "the orphan gone-1/1 could not be ended: PermissionError: not ours" in told


def test_a_turn_of_the_worker_that_fails_ends_no_process(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    ending = asyncio.Event()
    made: Any = {"name": "w1", "clock": lambda: NOW, "tell": told.append, "ending": ending}
    worker = Worker(store, settings, nobody, nobody, **made)
    monkeypatch.setattr(worker, "_claim", broken)
    monkeypatch.setattr(worker, "_pause", lambda seconds: ending.wait() if ending.set() is None else None)
    asyncio.run(worker.work())
    assert told == ["waiting: a turn failed with RuntimeError; the log has the details"]


def test_a_loop_of_the_monitors_goes_on_after_what_nobody_foresaw(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended for good before, unseen: no notice left the process any more."""
    told: list[str] = []
    calls: list[int] = []
    monkeypatch.setattr("monitors.turns.TROUBLE_SECONDS", 0.0)
    quick = replace(settings, monitors=replace(settings.monitors, tick_seconds=0.01))
    app = monitors_app.App(quick, store, "key", clock=lambda: NOW, tell=told.append)

    async def deliver() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("once")
        app.ending.set()
        return ""

    monkeypatch.setattr(app, "_deliver", deliver)
    monkeypatch.setattr(app.schedule, "start", lambda: None)
    monkeypatch.setattr(app.schedule, "refresh", lambda: None)
    monkeypatch.setattr(app.schedule, "stop", lambda: None)
    asyncio.run(asyncio.wait_for(app.run(), 20))
    assert len(calls) > 1 and any("a turn failed with RuntimeError" in line for line in told)
