"""The worker with an engine on another machine: a stand-in of a Ray cluster, and one that is away for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import Unavailable
from core.settings import Settings
from retrain import child
from retrain.app import App
from retrain.engines.local import Local
from retrain.engines.ray_jobs import RayJobs
from retrain.worker import Worker
from store import heartbeats, runs
from store.unit_of_work import Store
from tests import ray_world
from tests.toy_runs import get, in_loop, make_settings, make_worker, now, open_store, queue, until, working

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return make_settings(tmp_path, monkeypatch)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    yield from open_store(settings)


class Absent(Local):
    """Cannot be reached for the first `times` questions."""

    times = 3

    def status(self, job: str) -> str:
        if self.times:
            self.times -= 1
            raise Unavailable("The cluster does not answer.")
        return super().status(job)


@in_loop
async def test_an_engine_that_is_away_for_a_while_is_waited_for(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PATIENT_POLL_SECONDS", 0.05)
    uuid, engine = queue(store), Absent(settings.home / "runs")
    async with working(make_worker(store, settings, [], engine=engine)):
        await until(lambda: get(store, uuid)["state"] == "succeeded")
    assert (engine.times, get(store, uuid)["attempts"]) == (0, 0)


class Away(Local):
    """Cannot say what it runs until it is back."""

    back = False

    def list(self) -> list[str]:
        if not self.back:
            raise Unavailable("The cluster does not answer.")
        return super().list()


@in_loop
async def test_an_engine_that_is_away_is_told_on_the_overview_before_a_run_needs_it(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrain.worker.RETRY_SECONDS", 0.05)
    said: list[str] = []
    app = App(settings, store, "key", clock=now, tell=said.append)
    app.worker.engine = engine = Away(settings.home / "runs")

    async def reports(trouble: str) -> None:
        await until(lambda: app.worker.trouble == trouble)
        await app._beat()
        with store.read() as tx:
            assert [row["info"]["trouble"] for row in heartbeats.ages(tx)] == [trouble]

    async with working(app.worker):
        await reports("The cluster does not answer.")
        engine.back = True
        await reports("")
    assert said == ["waiting: The cluster does not answer."]
    await app.asker.close()


@in_loop
async def test_an_engine_that_stays_away_ends_in_a_failed_run_that_says_so(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "PATIENT_POLL_SECONDS", 0.01)
    monkeypatch.setattr(child, "PATIENCE_SECONDS", 0.05)
    uuid = queue(store)
    engine = RayJobs(settings.home / "runs", "http://127.0.0.1:9", "token")
    async with working(make_worker(store, settings, [], engine=engine)):
        await until(lambda: get(store, uuid)["state"] == "failed")
    assert "127.0.0.1:9 does not answer" in get(store, uuid)["message"]


@in_loop
async def test_a_cluster_without_a_token_fails_the_run_at_once_and_not_the_worker(
    store: Store, settings: Settings
) -> None:
    said: list[str] = []
    with ray_world.cluster(token="") as (_, address):
        engine = RayJobs(settings.home / "runs", address, "our-own-token")
        async with working(make_worker(store, settings, said, engine=engine)):
            await until(lambda: said)
            uuid = queue(store)
            await until(lambda: get(store, uuid)["state"] == "failed", 60.0)
    assert said[0].startswith("waiting: ")
    assert "answers without a token" in get(store, uuid)["message"]
    assert get(store, uuid)["attempts"] == 0


@in_loop
async def test_a_run_on_a_cluster_is_stopped_resumed_and_survives_its_worker(store: Store, settings: Settings) -> None:
    uuid = queue(store, steps=16)
    folder = settings.home / "runs" / uuid
    with ray_world.cluster() as (world, address):

        def make(name: str) -> Worker:
            engine = RayJobs(settings.home / "runs", address, ray_world.TOKEN)
            return make_worker(store, settings, [], name, engine)

        async with working(make("w1")):
            await until(lambda: get(store, uuid)["progress"].get("step", 0) >= 2)
            (folder / "pause").touch()
            with store.write(now()) as tx:
                runs.request_stop(tx, uuid, actor="ann")
            await until(lambda: get(store, uuid)["state"] == "cancelled")
            assert get(store, uuid)["job"] == f"{uuid}/1"
            with store.write(now()) as tx:
                runs.resume(tx, uuid, actor="ann")
            await until(lambda: get(store, uuid)["job"] == f"{uuid}/2")
        # That worker asked the second job to end, and did not wait for it long.
        (folder / "pause").unlink()
        async with working(make("w2")):
            await until(lambda: get(store, uuid)["state"] == "succeeded")
        assert [job.status for job in world.jobs.values()][:2] == ["STOPPED", "STOPPED"]
    starts = [line for line in (folder / "progress.jsonl").read_text().splitlines() if '"start"' in line]
    assert len(starts) >= 2 and '"step": 0' not in starts[-1]
    assert get(store, uuid)["attempts"] == 0
