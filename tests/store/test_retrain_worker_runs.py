"""The worker with a real child process: carried through, stopped, resumed, killed, and taken over by another."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from core.events import digest
from core.settings import Settings
from core.types import Feedback
from retrain import artefacts, stages
from retrain.engines.local import Local
from retrain.pairs import drawing, margins, orders
from retrain.pairs.customs.lot import HELD_OUT
from store import audit, datasets, decisions, feedback, pairs, runs, tables, versions
from store.queries import cards
from store.unit_of_work import Store
from tests.toy_runs import get, in_loop, make_settings, make_worker, now, open_store, queue, until, working


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return make_settings(tmp_path, monkeypatch)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    yield from open_store(settings)


@in_loop
async def test_a_run_ends_in_a_registered_version_a_report_and_a_proposal(store: Store, settings: Settings) -> None:
    said: list[str] = []
    uuid = queue(store)
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    row = get(store, uuid)
    assert (row["stage"], row["candidate"], row["forecast"]) == ("gate", "assistant-v1", {"tokens_per_second": 500.0})
    with store.read() as tx:
        version = versions.get(tx, "assistant-v1")
        report = versions.latest_report(tx, "assistant-v1")
        waiting = decisions.waiting(tx)
        lines = tx.all(sa.select(tables.run_progress.c.line).order_by(tables.run_progress.c.line))
        assert audit.verify(tx).bad is None
    assert report is not None
    assert report.verdict == "pass", report
    assert (settings.home / version.path / "adapter_model.safetensors").is_file()
    assert (version.fingerprint, version.run, version.parent) == (digest("assistant-v1"), uuid, "assistant-base")
    assert [(d["kind"], d["subject"], d["proposer"]) for d in waiting] == [("promote", "assistant-v1", "system:gate")]
    assert [line["line"] for line in lines] == list(range(1, 9))
    assert not list((settings.home / "versions").glob(".*"))
    assert json.loads((settings.home / "runs" / uuid / "suspects.json").read_text("utf-8")) == [], "customs looked"


@in_loop
async def test_a_run_of_all_weights_ends_in_a_model_that_the_next_one_starts_from(
    store: Store, settings: Settings
) -> None:
    said: list[str] = []
    uuid = queue(store, finetuning_type="full")
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    with store.read() as tx:
        version = versions.get(tx, "assistant-v1")
        report = versions.latest_report(tx, "assistant-v1")
        card = cards.facts(tx, "assistant-v1")
    assert (version.kind, version.base, version.is_whole) == ("base", "chat", True)
    assert artefacts.verify(settings.home, version.path, version.digest) == ""
    assert report is not None and report.verdict == "pass"
    assert card is not None and card["base"]["name"] == "assistant-base"
    assert (card["training"]["Trained weights"], card["training"]["Steps at most"]) == ("full", 6)
    spec = {**get(store, uuid)["spec"], "champion": "assistant-v1"}
    told = stages.compose(spec, version, settings, 64)
    assert (told["init_model"], told["init_adapter"]) == (str(settings.home / version.path), None)


@in_loop
async def test_a_run_on_thumbs_gets_its_file_and_says_so_on_the_version(store: Store, settings: Settings) -> None:
    with store.write(now()) as tx:
        for n in range(60):
            liked = 1.0 if n % 2 else -1.0
            feedback.record(tx, Feedback(f"f-{n}", now(), "thumb", inference=f"i-{n}", value=liked))
    said: list[str] = []
    uuid = queue(store, trainer="kto")
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    folder = settings.home / "runs" / uuid
    rows = [json.loads(line) for line in (folder / "thumbs.jsonl").read_text("utf-8").splitlines()]
    with store.read() as tx:
        card = versions.get(tx, "assistant-v1").card
    assert card["thumbs"]["rows"] == len(rows) > 16
    assert card["pairs"]["train"] == 0 and card["pairs"]["held_out"] >= 20
    assert {row["desirable"] for row in rows} == {True, False}
    assert json.loads((folder / "spec.json").read_text("utf-8"))["trainer"] == "kto"


@in_loop
async def test_a_stopped_run_keeps_its_checkpoint_and_goes_on_from_it(store: Store, settings: Settings) -> None:
    said: list[str] = []
    uuid = queue(store, steps=12)
    folder = settings.home / "runs" / uuid
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, uuid)["progress"].get("step", 0) >= 2)
        (folder / "pause").touch()
        with store.write(now()) as tx:
            runs.request_stop(tx, uuid, actor="ann")
        await until(lambda: get(store, uuid)["state"] == "cancelled")
        (folder / "pause").unlink()
        kept = int((folder / "kept.txt").read_text())
        assert 2 <= kept < 12
        with store.write(now()) as tx:
            runs.resume(tx, uuid, actor="ann")
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    starts = [line for line in (folder / "progress.jsonl").read_text().splitlines() if '"start"' in line]
    assert len(starts) == 2
    assert f'"step": {kept}' in starts[1]


@in_loop
async def test_the_model_is_asked_of_labels_in_a_child_that_can_be_stopped_and_is_asked_once(
    store: Store, settings: Settings
) -> None:
    asking = replace(settings, retrain=replace(settings.retrain, customs_model="folds", customs_pairs=50))
    pause = settings.home / "runs" / "pause"
    pause.touch()
    uuid = queue(store)
    folder = settings.home / "runs" / uuid
    async with working(make_worker(store, asking, [])):
        await until(lambda: get(store, uuid)["progress"].get("event") == "customs")
        assert get(store, uuid)["stage"] == "pairs"
        task = margins.read_task(folder / margins.FOLDER)
        assert len(task.pairs) == 50 and set(task.folds) == set(range(margins.FOLDS))
        assert (task.spec.start, task.spec.seed) == (None, drawing.SPLIT_SEED), "from the base, for every run alike"
        with store.write(now()) as tx:
            runs.request_stop(tx, uuid, actor="ann")
        await until(lambda: get(store, uuid)["state"] == "cancelled")
        assert not Local(settings.home / "runs").list()
        pause.unlink()
        with store.write(now()) as tx:
            runs.resume(tx, uuid, actor="ann")
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    events = [json.loads(line)["event"] for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert events[:5] == ["customs", "stopped", "customs", "customs_end", "start"]
    assert not (folder / margins.FOLDER / margins.PAIRS).exists(), "what was answered is known by digests"
    assert len(margins.newest(asking)[HELD_OUT]) == 50, "a check of the page finds it"
    assert margins.newest(settings) == {}
    told = orders.check(orders.Desk(store, asking, now), {}, "ann", lambda share: None)
    assert told["figures"]["agreement"]["held_out"]["n"] == 50
    # A run on a dataset that is locked already draws nothing, so that its labels are not asked about.
    with store.read() as tx:
        chosen = datasets.get(tx, get(store, uuid)["dataset_id"])["digest"]
    again = queue(store, dataset=chosen)
    async with working(make_worker(store, asking, [])):
        await until(lambda: get(store, again)["state"] == "succeeded")
    assert not (settings.home / "runs" / again / margins.FOLDER).exists()


@in_loop
async def test_customs_of_a_run_say_how_far_they_are_and_are_left_when_it_is_stopped(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = threading.Event()

    def look(*_: Any, progress: Any, **__: Any) -> Any:
        try:
            while True:
                progress(0.5, "triggers")
        finally:
            left.set()

    monkeypatch.setattr("retrain.stages.clearing.clear", look)
    uuid = queue(store)
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, uuid)["progress"])
        assert get(store, uuid)["progress"] == {"event": "inspect", "what": "triggers", "share": 0.5}
        with store.write(now()) as tx:
            runs.request_stop(tx, uuid, actor="ann")
        await until(lambda: get(store, uuid)["state"] == "cancelled")
        await until(left.is_set, 5)


@in_loop
async def test_nobody_waits_for_the_store_while_a_candidate_is_judged(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are hashed, which for whole weights is gigabytes, and intervals are worked out."""
    written = threading.Event()

    def verify(*_: Any) -> str:
        with store.write(now()) as tx:
            tx.audit("system:test", "chat.captured", "meanwhile")
        written.set()
        return ""

    monkeypatch.setattr("retrain.candidate.artefacts.verify", verify)
    uuid = queue(store)
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    assert written.is_set()


@in_loop
async def test_a_worker_that_ends_hands_its_run_back_and_the_next_goes_on(store: Store, settings: Settings) -> None:
    said: list[str] = []
    uuid = queue(store, steps=30)
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, uuid)["progress"].get("step", 0) >= 2)
    row = get(store, uuid)
    assert (row["state"], row["attempts"]) == ("queued", 0)
    assert not Local(settings.home / "runs").list()
    async with working(make_worker(store, settings, said, "w2")):
        await until(lambda: get(store, uuid)["state"] == "succeeded")


@in_loop
async def test_a_killed_child_is_started_again_from_its_checkpoint(store: Store, settings: Settings) -> None:
    said: list[str] = []
    uuid = queue(store, steps=12)
    engine = Local(settings.home / "runs")
    async with working(make_worker(store, settings, said)):
        await until(lambda: get(store, uuid)["progress"].get("step", 0) >= 2)
        for job in engine.list():
            os.killpg(int(job.partition("/")[2]), signal.SIGKILL)
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    assert get(store, uuid)["attempts"] == 1


@in_loop
async def test_a_full_disk_is_named_where_a_child_could_not_even_say_so(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = queue(store, steps=500)
    engine = Local(settings.home / "runs")
    monkeypatch.setattr("retrain.ending._LEAST_FREE", 2**63)

    def begun(attempts: int) -> bool:
        return get(store, uuid)["attempts"] == attempts and bool(engine.list())

    async with working(make_worker(store, settings, [])):
        for attempts in (0, 1, 2):
            await until(partial(begun, attempts))
            for job in engine.list():
                os.killpg(int(job.partition("/")[2]), signal.SIGKILL)
        await until(lambda: get(store, uuid)["state"] == "failed")
    assert get(store, uuid)["message"].endswith("The disk of the run's folder is full: free some space there.")


@in_loop
async def test_a_disk_that_is_full_as_the_worker_writes_is_named(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "train.jsonl")

    monkeypatch.setattr(drawing, "write", write)
    uuid = queue(store)
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, uuid)["state"] == "failed")
    assert get(store, uuid)["message"].endswith("The disk of the run's folder is full: free some space there.")


@in_loop
async def test_a_wrong_spec_fails_at_once_with_its_sentence(store: Store, settings: Settings) -> None:
    uuid = queue(store)
    folder = settings.home / "runs" / uuid
    folder.mkdir(parents=True)
    (folder / "wrong").touch()
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, uuid)["state"] == "failed")
    assert get(store, uuid)["message"] == "The spec is wrong."


@in_loop
async def test_too_few_pairs_fail_with_what_is_missing(store: Store, settings: Settings) -> None:
    with store.write(now()) as tx:
        tx.execute(sa.update(tables.pairs).where(tables.pairs.c.id > 8).values(state="quarantined"))
    uuid = queue(store)
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, uuid)["state"] == "failed")
    assert "8 approved pairs" in get(store, uuid)["message"]


@in_loop
async def test_a_run_that_names_a_dataset_trains_on_it_or_fails_once_it_has_aged(
    store: Store, settings: Settings
) -> None:
    with store.write(now()) as tx:
        found = pairs.approved(tx, 100)
        locked = datasets.lock(tx, train=found[4:10], held_out=found[10:40], card={}, actor="otto")
    uuid = queue(store, dataset=locked["digest"])
    async with working(make_worker(store, settings, [])):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
        rows = (settings.home / "runs" / uuid / "train.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(row)["id"] for row in rows] == [pair.uuid for pair in found[4:10]]
        with store.write(now()) as tx:
            assert tx.scalar(sa.select(sa.func.count()).select_from(tables.datasets)) == 1
            tx.execute(sa.update(tables.pairs).where(tables.pairs.c.id == found[20].id).values(state="quarantined"))
        later = queue(store, dataset=locked["digest"])
        await until(lambda: get(store, later)["state"] == "failed")
    assert get(store, later)["message"] == "Of the dataset's pairs 1 are no longer approved. Lock a new dataset."
    assert get(store, later)["attempts"] == 0, "what no second try would mend is no crash"


KILLED = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from tests import toy_runs as here
from retrain import candidate
from core.ports import ProbePrompt
from core.settings import RetrainSettings, Settings
from store.unit_of_work import Store

home = Path({home!r})
settings = Settings(home=home, models_home=home / "models", retrain=RetrainSettings(lease_seconds=1.0))
candidate.draw_prompts = here.draw_toy_prompts
asyncio.run(here.make_worker(Store.open(settings.store_url), settings, [], "killed").work())
"""


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.4, 0.9, 1.6])
@in_loop
async def test_kill_minus_nine_of_the_worker_loses_nothing(store: Store, settings: Settings, pause: float) -> None:
    """At whatever moment it dies, the next worker finds the orphan and finishes; there is one version, whole."""
    uuid = queue(store, steps=16)
    paths = [str(Path(__file__).parents[2])]
    script = KILLED.format(paths=paths, home=str(settings.home))
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        await until(lambda: get(store, uuid)["state"] == "running")
        await asyncio.sleep(pause)
    finally:
        process.kill()
        process.wait()
    said: list[str] = []
    async with working(make_worker(store, settings, said, "w2")):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    with store.read() as tx:
        names = [version.name for version in versions.listed(tx)]
        assert audit.verify(tx).bad is None
    assert names == ["assistant-v1", "assistant-base"]
    assert not [p for p in psutil.process_iter(["cmdline"]) if uuid in " ".join(p.info["cmdline"] or [])]
    assert get(store, uuid)["attempts"] <= 1


@in_loop
async def test_a_trainer_whose_start_was_never_recorded_is_no_crash(store: Store, settings: Settings) -> None:
    """A worker that dies between the start and job.json leaves a trainer that the next one must find and replace."""
    uuid = queue(store, steps=12)
    folder = settings.home / "runs" / uuid
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text('{"max_steps": 10000, "seed": 1}')
    orphan = subprocess.Popen([sys.executable, "-m", "toy_trainer", str(folder)], start_new_session=True)
    (folder / "pause").touch()
    async with working(make_worker(store, settings, [])):
        await until(lambda: orphan.poll() is not None)
        (folder / "pause").unlink()
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    assert orphan.returncode == 75
    assert get(store, uuid)["attempts"] == 0


@in_loop
async def test_an_orphan_of_a_run_that_is_over_is_ended(store: Store, settings: Settings) -> None:
    uuid = queue(store, steps=10_000)
    folder = settings.home / "runs" / uuid
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text('{"max_steps": 10000, "seed": 1}')
    engine = Local(settings.home / "runs")
    job = engine.submit(uuid, folder, [sys.executable, "-m", "toy_trainer", str(folder)])
    with store.write(now()) as tx:
        runs.request_stop(tx, uuid, actor="ann")
    async with working(make_worker(store, settings, [])):
        await until(lambda: engine.status(job) != "running")
