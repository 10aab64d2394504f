"""What people leave out counts in no reference that is taken afterwards, and stays in what is watched."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.types import Inference
from monitors.metrics import metrics
from monitors.sources import Exchanges, Judgements
from store import accounts, inferences, labelling
from store import monitors as rows
from store.unit_of_work import Store
from tests.monitors_world import World, world_on


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    with empty_store.write(made.now) as tx:
        accounts.create(tx, "otto", "a long enough password", "operator", actor="system:setup")
    return made


def exclude(world: World, ids: list[int]) -> list[Inference]:
    with world.store.write(world.now) as tx:
        found = inferences.by_ids(tx, ids)
        labelling.mark(tx, [row.uuid for row in found], "exclude", actor="otto", reason="A load test.")
    return found


def test_the_first_reference_leaves_them_out_and_waits_for_others(world: World) -> None:
    world.add("refusal_rate", params={"reference": 100})
    ids = world.send(100)
    exclude(world, ids[:10])
    world.run("refusal_rate")
    assert world.measured("refusal_rate")[-1]["needed"] == 10
    more = world.send(30)
    world.run("refusal_rate")
    with world.store.read() as tx:
        epoch = rows.open_epoch(tx, rows.get(tx, "refusal_rate")["id"])
    assert epoch is not None
    assert (epoch["reference_first"], epoch["reference_last"], epoch["reference_rows"]) == (ids[10], more[9], 100)


def test_a_running_epoch_goes_on_and_still_reads_what_is_left_out(world: World) -> None:
    world.add("refusal_rate", params={"reference": 100})
    world.send(120)
    world.run("refusal_rate")
    exclude(world, world.send(30))
    world.run("refusal_rate")
    with world.store.read() as tx:
        epoch = rows.open_epoch(tx, rows.get(tx, "refusal_rate")["id"])
    assert epoch is not None and epoch["number"] == 1 and epoch["seen_rows"] == 50


def test_references_of_answers_and_of_judgements_leave_them_out(world: World) -> None:
    ids = world.send(30)
    world.judge(ids, lambda i: 1.0)
    exclude(world, ids[5:9])
    kept = [id for id in ids if id not in ids[5:9]]
    with world.store.read() as tx:
        for source in (Exchanges("assistant", metrics.get("refusal_rate")), Judgements("assistant")):
            spanned = source.spanning(tx, 1, 10_000, version="", wanted=100)
            before = source.before(tx, 10_000, version="", wanted=100)
            assert [unit.inference for unit in spanned] == kept == [unit.inference for unit in before]
            following, _, _ = source.following(tx, 0, version="", boundary=0, limit=100)
            assert [unit.inference for unit in following] == ids
