"""What serves is what a run starts from and is judged against: where its files were changed, the run says so."""

from __future__ import annotations

import json

import pytest

from core.settings import Settings
from core.types import GateReport, ModelVersion
from retrain.candidate import Bench
from retrain.held_out import read_scored
from store import datasets, runs, versions
from store.unit_of_work import Store
from tests.store.test_retrain_worker_runs import settings, store
from tests.toy_runs import (
    ToyAsker,
    get,
    in_loop,
    make_worker,
    now,
    queue,
    until,
    working,
)

__all__ = ["settings", "store"]
pytestmark = pytest.mark.slow


def version(store: Store, name: str) -> ModelVersion:
    with store.read() as tx:
        return versions.get(tx, name)


def judge(store: Store, settings: Settings, uuid: str) -> GateReport:
    """The gate's report on what the finished run measured."""
    row, folder = get(store, uuid), settings.home / "runs" / uuid
    with store.read() as tx:
        judged = datasets.members(tx, row["dataset_id"], "held_out")
    evaluation, compared = (json.loads((folder / name).read_text()) for name in ("evaluation.json", "comparison.json"))
    sides = version(store, row["candidate"]), version(store, row["spec"]["champion"])
    pairs = read_scored(folder / "evaluation_pairs.jsonl", judged)
    return Bench(store, settings, ToyAsker(), clock=now).judge(*sides, row["spec"], evaluation, pairs, compared)


@in_loop
async def test_a_champion_whose_files_were_changed_is_no_measure(store: Store, settings: Settings) -> None:
    said: list[str] = []
    first = queue(store)
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, first)["state"] == "succeeded")
        weights = settings.home / version(store, "assistant-v1").path / "adapter_model.safetensors"
        sound = weights.read_bytes()
        weights.write_bytes(sound[:-1] + b"\x41")
        second = queue(store, champion="assistant-v1", seed="8")
        await until(lambda: get(store, second)["state"] == "failed")
        told = get(store, second)
        assert "rests on assistant-v1, whose files are not what was released" in told["message"]
        assert told["stage"] == "train" and not (settings.home / "runs" / second / "adapter").exists()
        weights.write_bytes(sound)
        with store.write(now()) as tx:
            runs.resume(tx, second, actor="ann")
        await until(lambda: get(store, second)["state"] == "succeeded")
    assert judge(store, settings, second).verdict == "pass"
    weights.write_bytes(sound[:-1] + b"\x41")
    report = judge(store, settings, second)
    integrity = next(check for check in report.checks if check.name == "integrity")
    assert (report.verdict, integrity.verdict) == ("fail", "fail")
    assert integrity.reason.startswith("It was compared with assistant-v1, whose files have changed meanwhile.")


@in_loop
async def test_a_champion_that_changes_while_its_candidate_trains_is_not_evaluated_against(
    store: Store, settings: Settings
) -> None:
    first = queue(store)
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, first)["state"] == "succeeded")
        weights = settings.home / version(store, "assistant-v1").path / "adapter_model.safetensors"
        second = queue(store, steps=20, champion="assistant-v1", seed="8")
        await until(lambda: get(store, second)["progress"].get("step", 0) >= 1)
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x41")
        await until(lambda: get(store, second)["state"] == "failed")
    assert get(store, second)["stage"] == "evaluate"
    assert not (settings.home / "runs" / second / "evaluation.json").exists()
