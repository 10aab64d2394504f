"""Runs: one holder at a time, writes by fence only, crashes counted, stop and resume by people who may."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import Forbidden, IllegalMove
from retrain.held import Held
from store import audit, runs, tables
from store.runs import LeaseLost
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
        for name, role in {"ann": "approver", "otto": "operator"}.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
    yield opened
    opened.close()


def queue(store: Store) -> str:
    with store.write(NOW) as tx:
        return runs.queue(tx, spec={"steps": 4}, requested_by="ann")


def claim(store: Store, owner: str = "w1", lease: float = 30.0) -> tuple[int, int]:
    with store.write(NOW) as tx:
        row = runs.claim(tx, owner, lease_seconds=lease)
        assert row is not None
        return int(row["id"]), int(row["fence"])


def state(store: Store, uuid: str) -> str:
    with store.read() as tx:
        return str(runs.get(tx, uuid)["state"])


def test_a_run_is_taken_once_and_goes_through_its_stages(store: Store) -> None:
    uuid = queue(store)
    id, fence = claim(store)
    with store.write(NOW) as tx:
        assert runs.claim(tx, "w2", lease_seconds=30) is None
        assert runs.heartbeat(tx, id, fence, lease_seconds=30) is False
        runs.progress(tx, id, fence, latest={"step": 2}, lines=[(1, {"step": 1}), (2, {"step": 2})])
        runs.progress(tx, id, fence, latest={"step": 2}, lines=[(2, {"step": 2})])
        assert runs.last_line(tx, id) == 2
        for stage in ("train", "evaluate", "gate"):
            runs.advance(tx, id, fence, stage)
        runs.finish(tx, id, fence, "succeeded", "Done.")
        with pytest.raises(runs.LeaseLost):
            runs.heartbeat(tx, id, fence, lease_seconds=30)
    with store.read() as tx:
        assert audit.verify(tx).bad is None
    assert state(store, uuid) == "succeeded"


def test_many_workers_take_each_run_once(store: Store) -> None:
    wanted = {queue(store) for _ in range(6)}
    taken: list[str] = []
    start = threading.Barrier(4)

    def work(owner: str) -> None:
        start.wait()
        while True:
            with store.write(NOW) as tx:
                row = runs.claim(tx, owner, lease_seconds=30)
            if row is None:
                return
            taken.append(row["uuid"])

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A worker on PostgreSQL that finds only rows others are taking ends early; what is left is taken now.
    while len(taken) < len(wanted):
        with store.write(NOW) as tx:
            row = runs.claim(tx, "w9", lease_seconds=30)
        assert row is not None
        taken.append(row["uuid"])
    assert sorted(taken) == sorted(wanted)


def test_a_dead_holder_is_replaced_and_its_late_writes_are_refused(store: Store) -> None:
    uuid = queue(store)
    id, old = claim(store, "w1", lease=0.05)
    time.sleep(0.1)
    _, new = claim(store, "w2")
    assert new == old + 1
    with store.write(NOW) as tx:
        for late in (
            lambda: runs.heartbeat(tx, id, old, lease_seconds=30),
            lambda: runs.progress(tx, id, old, latest={}),
            lambda: runs.advance(tx, id, old, "train"),
            lambda: runs.finish(tx, id, old, "succeeded", ""),
            lambda: runs.hand_back(tx, id, old, ""),
            lambda: runs.crash(tx, id, old, ""),
        ):
            with pytest.raises(runs.LeaseLost):
                late()
        assert runs.get(tx, uuid)["attempts"] == 1
        assert runs.heartbeat(tx, id, new, lease_seconds=30) is False


def test_whatever_the_first_holder_still_writes_is_refused_and_leaves_nothing(store: Store) -> None:
    """Also what touches no row of the run: a gate's report, a dataset, a version."""
    queue(store)
    with store.write(NOW) as tx:
        row = runs.claim(tx, "w1", lease_seconds=0.01)
    assert row is not None
    held = Held(store, dict(row), lease_seconds=30, clock=lambda: NOW)
    time.sleep(0.05)
    claim(store, "w2")
    with pytest.raises(LeaseLost):
        asyncio.run(held.write(lambda tx: tx.audit("system:retrain", "gate.reported", "late")))
    with store.read() as tx:
        assert not [event for event in audit.events(tx) if event.subject == "late"]


def test_what_a_run_only_reads_waits_for_no_writer(store: Store) -> None:
    queue(store)
    with store.write(NOW) as tx:
        row = runs.claim(tx, "w1", lease_seconds=30)
    assert row is not None
    held = Held(store, dict(row), lease_seconds=30, clock=lambda: NOW)
    with store.write(NOW):
        assert asyncio.run(asyncio.wait_for(held.last_line(), 1)) == 0


def test_a_run_that_keeps_crashing_fails_and_can_be_resumed(store: Store) -> None:
    uuid = queue(store)
    for number in range(runs.MOST_CRASHES):
        id, fence = claim(store)
        with store.write(NOW) as tx:
            follows = runs.crash(tx, id, fence, "The trainer was killed.")
        assert follows == ("failed" if number == runs.MOST_CRASHES - 1 else "queued")
    with store.read() as tx:
        row = runs.get(tx, uuid)
        assert "Crashed 3 times" in row["message"]
        kinds = [event.kind for event in audit.events(tx) if event.subject == uuid]
    assert kinds.count("run.crashed") == 3
    with store.write(NOW) as tx, pytest.raises(Forbidden):
        runs.resume(tx, uuid, actor="otto")
    with store.write(NOW) as tx:
        runs.resume(tx, uuid, actor="ann")
    claim(store)
    assert state(store, uuid) == "running"


def test_handing_back_is_no_crash(store: Store) -> None:
    uuid = queue(store)
    for _ in range(runs.MOST_CRASHES + 2):
        id, fence = claim(store)
        with store.write(NOW) as tx:
            runs.hand_back(tx, id, fence, "The worker was stopped.")
    assert state(store, uuid) == "queued"


def test_stopping_a_running_run_is_heard_by_its_holder(store: Store) -> None:
    uuid = queue(store)
    id, fence = claim(store)
    with store.write(NOW) as tx:
        with pytest.raises(Forbidden):
            runs.request_stop(tx, uuid, actor="otto")
        runs.request_stop(tx, uuid, actor="ann")
        runs.request_stop(tx, uuid, actor="ann")
        assert runs.heartbeat(tx, id, fence, lease_seconds=30) is True
        runs.finish(tx, id, fence, "cancelled", "Stopped; the checkpoint is kept.")
        runs.resume(tx, uuid, actor="ann")
        with pytest.raises(IllegalMove):
            runs.resume(tx, uuid, actor="ann")
    id, fence = claim(store)
    with store.write(NOW) as tx:
        assert runs.heartbeat(tx, id, fence, lease_seconds=30) is False


def test_a_run_that_waits_is_cancelled_at_once(store: Store) -> None:
    uuid = queue(store)
    with store.write(NOW) as tx:
        runs.request_stop(tx, uuid, actor="ann")
        assert runs.claim(tx, "w1", lease_seconds=30) is None
        with pytest.raises(IllegalMove):
            runs.request_stop(tx, uuid, actor="ann")
    assert state(store, uuid) == "cancelled"
