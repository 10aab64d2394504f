"""A dataset is drawn outside any transaction, and locked only if its pairs still stand as they did; kills between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict
from core.settings import Settings
from core.types import PreferencePair
from retrain import stages
from retrain.engines.local import Local
from retrain.held import Held
from retrain.pairs import clearing, drawing, orders
from retrain.pairs.split import split_pairs
from retrain.stages import Stages
from store import audit, datasets, pairs, runs, tables
from store.unit_of_work import Store
from tests.toy_runs import get, make_settings, now, open_store, queue

pytestmark = pytest.mark.slow

Way = Callable[[Store, Settings], None]


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    def clear(found: Any, held_before: Any = (), **how: Any) -> clearing.Cleared:
        return clearing.Cleared({found[0].id: ["Doubtful."]}, {pair.id: pair.id for pair in found}, {})

    monkeypatch.setattr(clearing, "clear", clear)
    return make_settings(tmp_path, monkeypatch)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    for opened in open_store(settings):
        with opened.write(now()) as tx:
            tx.insert(tables.accounts, name="otto", role="operator", password_hash="x", active=True, created_at=now())
        yield opened


def begin(store: Store, settings: Settings) -> None:
    """The first stage of the run that waits, or goes on, in a new worker."""

    async def draw() -> None:
        with store.write(now()) as tx:
            row = runs.claim(tx, "worker", lease_seconds=60)
        assert row is not None
        held = Held(store, dict(row), lease_seconds=60, clock=now)
        engine: Any = Local(settings.home / "runs")
        bench: Any = None
        work = Stages(held, settings, engine, bench, ending=asyncio.Event(), clock=now)
        work.folder.mkdir(parents=True, exist_ok=True)
        await work.draw()

    asyncio.run(draw())


def run_draws(store: Store, settings: Settings) -> None:
    queue(store)
    begin(store, settings)


def page_locks(store: Store, settings: Settings) -> None:
    orders.lock(orders.Desk(store, settings, now), {}, "otto", lambda share: None)


ways = pytest.mark.parametrize("way", [run_draws, page_locks])


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> list[int]:
    """Let `act` happen in the middle of each draw, which it is told the number of; returns the numbers of draws."""
    draws: list[int] = []

    def slow(*given: Any, **how: Any) -> Any:
        draws.append(len(draws))
        act(draws[-1])
        return split_pairs(*given, **how)

    monkeypatch.setattr("retrain.pairs.drawing.split_pairs", slow)
    return draws


def approved(store: Store) -> list[PreferencePair]:
    with store.read() as tx:
        return pairs.approved(tx, 1000)


def locked(store: Store) -> list[Any]:
    with store.read() as tx:
        assert audit.verify(tx).bad is None
        return tx.all(sa.select(tables.datasets))


def come(store: Store, number: int) -> None:
    """So many more pairs are collected and approved."""
    with store.write(now()) as tx:
        rows = [
            PreferencePair("", [{"role": "user", "content": f"What of {n}?"}], "Yes.", "No.", licence="own")
            for n in range(number)
        ]
        pairs.add(tx, rows, actor="x")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="x")


@ways
def test_who_captures_does_not_wait_while_a_dataset_is_drawn(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    draws = meanwhile(monkeypatch, lambda draw: come(store, 3))
    way(store, settings)
    assert draws == [0], "what came since customs looked is no part of the draw"
    (row,) = locked(store)
    assert row["card"]["funnel"]["quarantined by customs"] == 1
    with store.read() as tx:
        assert pairs.counts(tx)["quarantined"] == 1


@ways
def test_a_pair_that_is_taken_away_during_the_draw_is_not_in_what_is_locked(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    gone = {pair.id for pair in approved(store)[5:35]}

    def act(draw: int) -> None:
        with store.write(now()) as tx:
            tx.execute(sa.update(tables.pairs).where(tables.pairs.c.id.in_(gone)).values(state="rejected"))

    draws = meanwhile(monkeypatch, act)
    way(store, settings)
    (row,) = locked(store)
    with store.read() as tx:
        drawn = {pair.id for side in ("train", "held_out") for pair in datasets.members(tx, row["id"], side)}
    assert len(draws) == 2 and not drawn & gone


@ways
def test_pairs_that_change_during_every_draw_end_it_with_nothing_written(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    found = approved(store)

    def act(draw: int) -> None:
        with store.write(now()) as tx:
            tx.execute(sa.update(tables.pairs).where(tables.pairs.c.id == found[draw + 5].id).values(decided_by="ann"))

    draws = meanwhile(monkeypatch, act)
    with pytest.raises(Conflict, match="changed while they were drawn, 3 times"):
        way(store, settings)
    assert len(draws) == drawing.DRAWS and locked(store) == [] and len(approved(store)) == len(found)


@pytest.mark.parametrize(
    ("where", "name", "kept"),
    [
        (drawing, "lock", False),
        (runs, "note", False),
        (drawing, "write", True),
        (stages, "compose", True),
    ],
    ids=["before it is locked", "before it is noted", "before its files", "before the spec"],
)
def test_a_kill_around_the_lock_leaves_no_dataset_that_nobody_uses(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, kept: bool
) -> None:
    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    uuid = queue(store)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, kill)
        with pytest.raises(Killed):
            begin(store, settings)
    before = locked(store)
    assert len(before) == kept
    with store.write(now()) as tx:
        tx.execute(sa.update(tables.runs).values(lease_until=now()))
    come(store, 40)
    begin(store, settings)
    (row,) = locked(store)
    assert row["id"] == get(store, uuid)["dataset_id"] and before in ([], [row])
    with store.read() as tx:
        train = datasets.members(tx, row["id"], "train")
    lines = (settings.home / "runs" / uuid / "train.jsonl").read_text("utf-8").splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(pair.uuid for pair in train)
