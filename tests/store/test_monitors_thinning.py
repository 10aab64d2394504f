"""Busy traffic, of which an epoch reads one conversation in so many: the same looks, one rule an epoch, no scans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.settings import MonitorSettings
from core.thinning import Thinning
from core.types import Inference
from monitors import epochs
from monitors.metrics import Unit, metrics
from monitors.sources import source_of
from store import inferences, pace, streams
from store.unit_of_work import Store, Tx
from tests.monitors_world import START, World, world_on

REFUSAL = "I'm sorry, but I can't help with that request."


def converse(world: World, n: int, *, refuse: int = 10) -> list[int]:
    """`n` exchanges of conversations of one to three, of which one in `refuse` is refused."""
    made = [
        Inference(
            uuid=f"00000000-0000-4000-8000-{world.count + i:012d}",
            at=world.now + timedelta(milliseconds=i),
            deployment="assistant",
            version="assistant-base",
            messages=[{"role": "user", "content": "Where is it?"}],
            prompt="Where is it?",
            response=REFUSAL if (7 * i + i // 3) % refuse == 0 else "It will arrive.",
            kind="live",
            conversation=f"{world.count}-{i // (1 + i % 3)}" if i % 5 else "",
            latency_ms=100.0,
        )
        for i in range(n)
    ]
    world.count += n
    with world.store.write(world.now) as tx:
        return inferences.record(tx, made)


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    return world_on(empty_store, tmp_path)


def test_a_thinned_stream_looks_as_one_of_the_kept_conversations_alone(world: World) -> None:
    world.add("refusal_rate", params={"reference": 60, "one_in": 3})
    for refuse in (10, 10, 2):
        converse(world, 250, refuse=refuse)
        world.run("refusal_rate")
    (epoch,) = world.epochs()
    rule = Thinning.of(epoch["details"])
    assert rule.one_in == 3
    metric = metrics.get("refusal_rate")
    with world.store.read() as tx:
        every, _ = streams.openings(tx, 0, deployment="assistant", limit=1000)
    kept = [row for row in every if rule.holds(row.id)]
    assert 0.25 * len(every) < len(kept) < 0.42 * len(every)
    units = [Unit(row.id, row.id, row.at, "", metric.value(row), None, row.labels) for row in kept]
    how = {"alpha": epoch["alpha"], "horizon": epoch["horizon"], "seed": epoch["seed"], "params": {}}
    alone = metric.start(units[:60], **how)
    alone.update(units[60:])
    assert bytes(epoch["state"]) == alone.to_bytes()
    assert epoch["reference_last"] == units[59].key and epoch["seen_rows"] == len(units) - 60
    shown = world.measured("refusal_rate")[-1]
    assert (shown["value"], shown["n"], shown["details"]["one_in"]) == (*_value(alone), 3)


def _value(tracker: Any) -> tuple[float, int]:
    estimate = tracker.measure()[0].estimate
    return estimate.value, estimate.n


def test_how_many_are_read_changes_with_an_epoch_and_not_within_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "HORIZONS", (50, 400))
    world.settings = type(world.settings)(
        home=world.settings.home,
        models_home=world.settings.models_home,
        monitors=MonitorSettings(least_epoch_days=1.0),
    )
    world.add("response_length", params={"reference": 60})
    world.send(70)
    world.run("response_length")
    world.send(300)
    world.run("response_length")
    assert [Thinning.of(epoch["details"]).one_in for epoch in world.epochs()] == [1]
    world.send(1200)
    world.run("response_length")
    first, second, *_ = world.epochs()
    assert first["seen_rows"] == first["horizon"] == 400
    assert Thinning.of(first["details"]).one_in == 1, "the horizon was promised before the traffic grew"
    rule = Thinning.of(second["details"])
    assert rule.one_in == 4, "1,570 in a day, of which 400 are read"
    assert second["reason"] == "The epoch reached its horizon."
    assert second["alpha"] > 0
    with world.store.read() as tx:
        source = source_of(metrics.get("response_length"), "assistant", rule.seed).thinned(rule)
        reference = source.spanning(
            tx, second["reference_first"], second["reference_last"], version="assistant-base", wanted=1000
        )
    assert all(rule.holds(unit.key) for unit in reference)


def test_a_day_is_counted_from_a_bounded_number_of_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.store.read() as tx:
        assert pace.openings(tx, deployment="assistant") == pace.judgements(tx, deployment="assistant") == 0
    ids = converse(world, 400)
    world.now += timedelta(days=1, hours=1)
    ids = world.send(600)
    world.judge(ids[:300], lambda i: 1.0)
    with world.store.read() as tx:
        assert pace.openings(tx, deployment="assistant") == 600
        assert pace.judgements(tx, deployment="assistant") == 300
        monkeypatch.setattr(pace, "LOOKED_UP", 100)
        # Each of 100 blocks of six keys has one that is looked up, and all of them are conversations.
        assert pace.openings(tx, deployment="assistant") == pytest.approx(600, rel=0.05)
        assert pace.judgements(tx, deployment="assistant") == pytest.approx(300, rel=0.05)
        assert pace.openings(tx, deployment="another") == 0


def test_judgements_are_thinned_by_their_own_keys(world: World) -> None:
    ids = world.send(300)
    world.judge(ids, lambda i: -1.0 if i % 4 == 0 else 1.0)
    rule = Thinning(5, seed=3)
    source = source_of(metrics.get("negative_feedback"), "assistant", rule.seed)
    with world.store.read() as tx:
        every, last, _ = source.following(tx, 0, version="", boundary=0, limit=1000)
        kept = [unit for unit in every if rule.holds(unit.key)]
        thin = source.thinned(rule)
        assert thin.following(tx, 0, version="", boundary=0, limit=1000) == (kept, kept[-1].key, True)
        some, at, _ = thin.following(tx, 0, version="", boundary=0, limit=7)
        assert some + thin.following(tx, at, version="", boundary=0, limit=1000)[0] == kept
        assert thin.spanning(tx, kept[3].key, kept[9].key, version="", wanted=5) == kept[5:10]
        assert (
            thin.before(tx, ids[150], version="assistant-base", wanted=8)
            == [unit for unit in kept if unit.inference <= ids[150]][-8:]
        )
        assert source.spanning(tx, 1, last, version="", wanted=20) == every[-20:]


def test_thinned_reading_looks_rows_up_by_their_keys(world: World) -> None:
    ids = converse(world, 500)
    world.judge(ids[:200], lambda i: 1.0)
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.lstrip().startswith("SELECT"):
            statements.append((statement, parameters))

    sa.event.listen(world.store.engine, "before_cursor_execute", note)
    try:
        with world.store.read(START) as tx:
            read(tx, ids)
    finally:
        sa.event.remove(world.store.engine, "before_cursor_execute", note)
    assert len(statements) > 10
    with world.store.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            # So few rows are quickest read one by one: the question is whether an index serves.
            connection.exec_driver_sql("SET enable_seqscan = off")
            explain = "EXPLAIN"
        else:
            explain = "EXPLAIN QUERY PLAN"
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"{explain} {statement}", parameters).fetchall()
            steps = " ".join(str(row[-1]) for row in plan)
            assert "SCAN" not in steps and "Seq Scan" not in steps, f"{steps}: {statement}"
            assert "(kind=?)" not in steps, f"walks all rows of a kind: {steps}: {statement}"
            assert "TEMP B-TREE" not in steps, f"{steps}: {statement}"


def read(tx: Tx, ids: Sequence[int]) -> None:
    """Everything that a thinned epoch asks of the store."""
    for name in ("refusal_rate", "negative_feedback"):
        source = source_of(metrics.get(name), "assistant", 1)
        thin = source.thinned(Thinning(7, seed=1))
        assert thin.pace(tx) > 0
        for version in ("", "assistant-base"):
            assert thin.following(tx, 0, version=version, boundary=ids[10], limit=50)[0]
            assert thin.spanning(tx, 1, ids[-1], version=version, wanted=10)
            assert thin.before(tx, ids[-1], version=version, wanted=10)
