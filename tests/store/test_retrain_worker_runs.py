"""The worker with a real child process: carried through, stopped, resumed, killed, and taken over by another."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from core.events import digest
from core.ports import ProbePrompt
from core.settings import RetrainSettings, Settings
from core.types import Feedback, ModelVersion, PreferencePair
from retrain import candidate
from retrain.asking import Answer, Answering, Asker
from retrain.candidate import Bench
from retrain.engines.local import Local
from retrain.worker import Worker
from store import audit, decisions, deployments, feedback, inferences, pairs, runs, schema, tables, versions
from store.unit_of_work import Store

TOY = """
import json, signal, struct, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))

def tell(event, **values):
    with (folder / "progress.jsonl").open("a") as stream:
        stream.write(json.dumps({"event": event, **values}) + "\\n")

spec = json.loads((folder / "spec.json").read_text())
if (folder / "wrong").exists():
    tell("error", message="The spec is wrong.", code=2)
    sys.exit(2)
kept = folder / "kept.txt"
first = int(kept.read_text()) if kept.exists() else 0
tell("start", step=first, of=spec["max_steps"])
for step in range(first, spec["max_steps"]):
    time.sleep(0.05)
    while (folder / "pause").exists() and not stop:
        time.sleep(0.01)
    if stop:
        tell("stopped", step=step)
        sys.exit(75)
    kept.write_text(str(step + 1))
    tell("step", step=step + 1, of=spec["max_steps"], loss=0.7 - step / 100)
(folder / "adapter").mkdir()
header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
weights = struct.pack("<Q", len(header)) + header + struct.pack("<f", spec["seed"] + first * 0)
(folder / "adapter" / "adapter_model.safetensors").write_bytes(weights)
(folder / "adapter" / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
tell("end", step=spec["max_steps"], tokens=1000, seconds=2.0)
"""
TOY_JUDGE = """
import json, sys
from pathlib import Path

folder = Path(sys.argv[1])
judged = (folder / "held_out.jsonl").read_text().splitlines()
told = []
for place, line in enumerate(judged):
    names = ("base", "champion", "candidate")
    scores = {name: {"chosen": -20.0, "rejected": -20.0, "chosen_tokens": 9} for name in names}
    scores["candidate"]["chosen"] += 1.0 if place % 10 else 0.0
    hits = {"candidate": 1.0 if place % 10 else 0.5, "champion": 0.5}
    for name, hit in hits.items():
        scores[name]["reward_hit"] = hit
    told.append({"id": json.loads(line)["id"], **scores})
(folder / "evaluation_pairs.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in told))
(folder / "evaluation.json").write_text(json.dumps({"pairs": len(told)}))
"""


class ToyAsker(Asker):
    """Every version answers the same, and has a fingerprint of its own name."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")

    async def fingerprint(self, version: str = "", *, deployment: str = "") -> Answering:
        return Answering(version, 1, digest(version))

    async def answer(self, version: str, messages: Any, *, max_tokens: int, seed: int) -> Answer:
        return Answer("Your parcel comes tomorrow.", 6)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "toy_trainer.py").write_text(TOY)
    (tmp_path / "modules" / "toy_judge.py").write_text(TOY_JUDGE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.setattr(candidate, "draw_prompts", draw_toy_prompts)
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    return Settings(home=home, models_home=home / "models", retrain=RetrainSettings(lease_seconds=1.0))


def draw_toy_prompts(*, seed: int) -> list[ProbePrompt]:
    messages = [{"role": "user", "content": "How do I return a parcel?"}]
    return [ProbePrompt(str(n), "toy", messages, n % 2 == 0, "refusal") for n in range(2 * 64)]


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    opened = Store.open(settings.store_url)
    schema.upgrade(opened, now=now())
    with opened.write(now()) as tx:
        tx.insert(tables.accounts, name="ann", role="approver", password_hash="none", active=True, created_at=now())
        base = ModelVersion("assistant-base", "0" * 64, "base", "chat", "", now(), fingerprint="base")
        versions.register(tx, base, actor="system:setup")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
        rows = [
            PreferencePair("", [{"role": "user", "content": f"Question {n}?"}], "Yes.", "No.", licence="CC0-1.0")
            for n in range(120)
        ]
        pairs.add(tx, rows, actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")
        inferences.record(tx, [make_inference(n) for n in range(70)])
    yield opened
    opened.close()


def make_inference(n: int) -> Any:
    from core.types import Inference

    prompt = f"Where is parcel {n}?"
    messages = [{"role": "user", "content": prompt}]
    return Inference(f"i-{n}", now(), "assistant", "assistant-base", "live", messages, prompt, "On its way.")


def queue(store: Store, steps: int = 6, trainer: str = "dpo") -> str:
    spec = {
        "deployment": "assistant", "base": "chat", "champion": "assistant-base", "trainer": trainer, "steps": steps,
        "pairs_per_step": 4, "lr": 1e-4, "beta": 0.1, "seed": 7, "device": "cpu", "max_train_pairs": 64,
        "max_held_out_pairs": 64,
    }  # fmt: skip
    with store.write(now()) as tx:
        return runs.queue(tx, spec=spec, requested_by="ann")


def make_worker(store: Store, settings: Settings, said: list[str], name: str = "w1") -> Worker:
    bench = Bench(store, settings, ToyAsker(), clock=now)
    engine = Local(settings.home / "runs")
    return Worker(
        store, settings, engine, bench, name=name, clock=now, tell=said.append, ending=asyncio.Event(),
        modules=("toy_trainer", "toy_judge"),
    )  # fmt: skip


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.work())
    try:
        yield
    finally:
        worker.ending.set()
        await asyncio.wait_for(task, 20)


def get(store: Store, uuid: str) -> Any:
    with store.read() as tx:
        return runs.get(tx, uuid)


async def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        await asyncio.sleep(0.02)


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


KILLED = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = {paths!r}
import test_retrain_worker_runs as here
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
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
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
