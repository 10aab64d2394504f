"""Commands: asked once, claimed by one, taken again after a lapsed lease, and expired when nobody comes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict, Forbidden, IllegalMove, InvalidInput, NotFound
from store import accounts, audit, carrying, commands, tables
from store.carrying import Carrier
from store.queries import commands as queries
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        accounts.create(tx, "otto", "correct horse battery", "operator", actor="system:setup")
        accounts.create(tx, "vera", "correct horse battery", "viewer", actor="system:setup")
    yield opened
    opened.close()


def ask(store: Store, monitor: str = "prompt_drift", **kwargs: timedelta) -> str:
    with store.write(NOW) as tx:
        return commands.ask(tx, "run_monitor", owner="monitors", args={"monitor": monitor}, actor="otto", **kwargs)


def test_a_command_goes_from_asked_to_done(store: Store) -> None:
    uuid = ask(store)
    with store.write(NOW) as tx:
        assert commands.claim(tx, "retrain", "retrain-1", 30) is None
        row = commands.claim(tx, "monitors", "monitors-1", 30)
        assert row is not None
        assert (row["uuid"], row["args"], row["actor"]) == (uuid, {"monitor": "prompt_drift"}, "otto")
        assert commands.claim(tx, "monitors", "monitors-2", 30) is None
        commands.progress(tx, row["id"], 0.5, process="monitors-1", lease_seconds=30)
        assert commands.get(tx, uuid)["progress"] == 0.5
        commands.finish(tx, row["id"], {"tick": 7}, process="monitors-1")
        with pytest.raises(IllegalMove):
            commands.fail(tx, row["id"], "too late")
    with store.read() as tx:
        done = commands.get(tx, uuid)
        kinds = [event.kind for event in audit.events(tx) if event.subject == uuid]
        assert audit.verify(tx).bad is None
    assert (done["state"], done["result"], done["progress"]) == ("done", {"tick": 7}, 1.0)
    assert kinds == ["command.asked", "command.claimed", "command.done"]


def test_two_clicks_ask_once_and_another_monitor_is_another_command(store: Store) -> None:
    assert ask(store) == ask(store)
    assert ask(store, "latency") != ask(store)
    with store.write(NOW) as tx:
        row = commands.claim(tx, "monitors", "monitors-1", 30)
        assert row is not None
        commands.fail(tx, row["id"], "The monitor is paused.")
        assert commands.get(tx, row["uuid"])["message"] == "The monitor is paused."
    assert ask(store) != row["uuid"]


def test_a_lapsed_lease_is_taken_again_and_the_first_holder_is_refused(store: Store) -> None:
    ask(store)
    with store.write(NOW) as tx:
        first = commands.claim(tx, "monitors", "monitors-1", 0.01)
    assert first is not None
    time.sleep(0.05)
    with store.write(NOW) as tx:
        second = commands.claim(tx, "monitors", "monitors-2", 30)
        assert second is not None
        assert second["id"] == first["id"]
        with pytest.raises(Conflict):
            commands.finish(tx, first["id"], {}, process="monitors-1")
        with pytest.raises(Conflict):
            commands.progress(tx, first["id"], 0.9, process="monitors-1", lease_seconds=30)


def test_one_whose_holder_died_is_not_taken_for_ever(store: Store) -> None:
    """A command that ends every process that takes it would else be taken again by the next."""
    uuid = ask(store)
    with store.write(NOW) as tx:
        assert commands.claim(tx, "monitors", "monitors-1", 0.01) is not None
        tx.execute(tables.commands.update().values(expires_at=datetime(2020, 1, 1, tzinfo=UTC)))
    time.sleep(0.05)
    with store.write(NOW) as tx:
        assert commands.claim(tx, "monitors", "monitors-2", 30) is None
        assert commands.get(tx, uuid)["state"] == "expired"


def test_one_that_ends_each_process_that_takes_it_fails_long_before_it_expires(store: Store) -> None:
    uuid = ask(store, expires_in=timedelta(days=3))
    other = ask(store, "latency", expires_in=timedelta(days=3))
    for number in range(commands.MOST_LOST):
        with store.write(NOW) as tx:
            row = commands.claim(tx, "monitors", f"monitors-{number}", 0.01)
            assert row is not None and row["uuid"] == uuid and queries.result(tx, uuid) == {}
        time.sleep(0.05)
    with store.write(NOW) as tx:
        row = commands.claim(tx, "monitors", "monitors-9", 30)
        assert row is not None and row["uuid"] == other, "those after it have their turn"
        lost = commands.get(tx, uuid)
        assert lost["state"] == "failed" and "ended, or stood still, 3 times" in lost["message"]
        assert queries.result(tx, uuid) == {"error": "Lost"}
        assert audit.verify(tx).bad is None and [e for e in audit.events(tx) if e.kind == "command.failed"]


def test_work_that_hangs_is_given_up_and_keeps_none_after_it_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "TELL_SECONDS", 0.05)
    monkeypatch.setattr(carrying, "MOST_SECONDS", 0.2)
    hung, other = ask(store), ask(store, "latency")

    async def follow() -> list[str]:
        async def work(row: Mapping[Any, Any], report: Any) -> dict[str, Any]:
            if row["uuid"] == hung:
                await asyncio.Event().wait()
            return {}

        carrier = Carrier(store, "monitors", "monitors-1", lambda: NOW)
        async with asyncio.timeout(20):
            return [await carrier.carry(["run_monitor"], work) for _ in range(2)]

    first, second = asyncio.run(follow())
    assert "was given up" in first and second == "run_monitor done for otto"
    with store.read() as tx:
        assert (commands.get(tx, hung)["state"], commands.get(tx, other)["state"]) == ("failed", "done")


def test_one_that_was_handed_back_has_lost_no_holder(store: Store) -> None:
    """Each start of a new version of Trimtab hands back what is under way."""
    ask(store)
    for number in range(2 * commands.MOST_LOST):
        with store.write(NOW) as tx:
            row = commands.claim(tx, "monitors", f"monitors-{number}", 30)
            assert row is not None
            commands.hand_back(tx, row["id"], process=f"monitors-{number}")
    with store.read() as tx:
        assert commands.waits(tx, "monitors", ["run_monitor"])


def test_what_its_holder_hands_back_waits_for_the_next(store: Store) -> None:
    ask(store)
    with store.write(NOW) as tx:
        first = commands.claim(tx, "monitors", "monitors-1", 30)
        assert first is not None and not commands.waits(tx, "monitors", ["run_monitor"])
        with pytest.raises(Conflict):
            commands.hand_back(tx, first["id"], process="monitors-2")
        commands.hand_back(tx, first["id"], process="monitors-1")
        assert commands.waits(tx, "monitors", ["run_monitor"]) and not commands.waits(tx, "monitors", ["backtest"])
        second = commands.claim(tx, "monitors", "monitors-2", 30)
    assert second is not None and second["id"] == first["id"]


def test_a_command_nobody_takes_expires(store: Store) -> None:
    uuid = ask(store, expires_in=timedelta(0))
    with store.write(NOW) as tx:
        assert commands.claim(tx, "monitors", "monitors-1", 30) is None
        assert commands.get(tx, uuid)["state"] == "expired"


def test_many_claimers_get_a_command_once(store: Store) -> None:
    wanted = {ask(store, f"monitor-{number}") for number in range(6)}
    got: list[str] = []

    def work(process: str) -> None:
        while True:
            with store.write(NOW) as tx:
                row = commands.claim(tx, "monitors", process, 30)
            if row is None:
                return
            got.append(row["uuid"])

    threads = [threading.Thread(target=work, args=(f"monitors-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert set(got) == wanted


def test_who_may_not_ask_and_what_nobody_does_is_refused(store: Store) -> None:
    with store.write(NOW) as tx:
        with pytest.raises(Forbidden):
            commands.ask(tx, "run_monitor", owner="monitors", args={}, actor="vera")
        with pytest.raises(InvalidInput, match="rm_rf"):
            commands.ask(tx, "rm_rf", owner="monitors", args={}, actor="otto")
        with pytest.raises(InvalidInput):
            commands.ask(tx, "run_monitor", owner="retrain", args={}, actor="otto")
        with pytest.raises(NotFound):
            commands.get(tx, "nothing")
