"""Runs whose trainer and judge are toys of some lines: what a worker does with its children, within seconds."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.events import digest
from core.ports import Engine, Fingerprint, ProbePrompt
from core.settings import RetrainSettings, Settings
from core.types import Inference, ModelVersion, PreferencePair
from retrain import candidate
from retrain.asking import Answer, Answering, Asker
from retrain.candidate import Bench
from retrain.engines.local import Local
from retrain.worker import Worker
from store import deployments, inferences, pairs, runs, tables, versions
from store.unit_of_work import Store
from tests.stores import make_store

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

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
    # As a real checkpoint: whole or not there, whenever a kill comes.
    (folder / "kept.partial").write_text(str(step + 1))
    (folder / "kept.partial").replace(kept)
    tell("step", step=step + 1, of=spec["max_steps"], loss=0.7 - step / 100)
full = spec["finetuning_type"] == "full"
product = folder / ("model" if full else "adapter")
product.mkdir()
header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
weights = struct.pack("<Q", len(header)) + header + struct.pack("<f", spec["seed"] + first * 0)
(product / ("model.safetensors" if full else "adapter_model.safetensors")).write_bytes(weights)
if full:
    (product / "tokenizer_config.json").write_text("{}")
    (product / "config.json").write_text("{}")
else:
    (product / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
tell("end", step=spec["max_steps"], tokens=1000, seconds=2.0)
"""
TOY_JUDGE = """
import json, sys
from pathlib import Path

folder = Path(sys.argv[1])
adopted = json.loads((folder / "adopted.json").read_text())
assert Path(adopted["folder"]).name == adopted["digest"] and list(Path(adopted["folder"]).glob("*.safetensors"))
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
TOY_CUSTOMS = """
import json, signal, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))

def tell(event, **values):
    with (folder / "progress.jsonl").open("a") as stream:
        stream.write(json.dumps({"event": event, **values}) + "\\n")

asked = (folder / "customs" / "pairs.jsonl").read_text().splitlines()
tell("customs", what="fit 1", step=1, of=2)
while (folder.parent / "pause").exists():
    time.sleep(0.01)
    if stop:
        tell("stopped", stage="customs")
        sys.exit(75)
margins = {json.loads(line)["id"]: 2.0 - 3.0 * (place % 10 == 0) for place, line in enumerate(asked)}
(folder / "customs" / "margins.json").write_text(json.dumps({"margins": {"held_out": margins}}))
tell("customs_end", pairs=len(asked))
"""


class ToyAsker(Asker):
    """Every version answers the same, and has a fingerprint of its own name."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")

    async def fingerprint(self, version: str = "", *, deployment: str = "") -> Answering:
        return Answering(version, 1, Fingerprint(digest(version)))

    async def answer(self, version: str, messages: Any, *, max_tokens: int, seed: int) -> Answer:
        return Answer("Your parcel comes tomorrow.", 6)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def now() -> datetime:
    return datetime.now(UTC)


def make_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation in `tmp_path` whose children are the toys above; customs ask theirs once the settings say so."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "toy_trainer.py").write_text(TOY)
    (tmp_path / "modules" / "toy_judge.py").write_text(TOY_JUDGE)
    (tmp_path / "modules" / "toy_customs.py").write_text(TOY_CUSTOMS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    monkeypatch.setattr(candidate, "draw_prompts", draw_toy_prompts)
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    return Settings(home=home, models_home=home / "models", retrain=RetrainSettings(lease_seconds=1.0))


def draw_toy_prompts(*, seed: int) -> list[ProbePrompt]:
    messages = [{"role": "user", "content": "How do I return a parcel?"}]
    return [ProbePrompt(str(n), "toy", messages, n % 2 == 0, "refusal") for n in range(2 * 64)]


def open_store(settings: Settings) -> Iterator[Store]:
    """Its store, with pairs to learn from, prompts to replay, and the base model live."""
    opened = make_store(settings.store_url, now=BEGAN)
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
    prompt = f"Where is parcel {n}?"
    messages = [{"role": "user", "content": prompt}]
    return Inference(f"i-{n}", now(), "assistant", "assistant-base", "live", messages, prompt, "On its way.")


def queue(store: Store, steps: int = 6, trainer: str = "dpo", **more: str) -> str:
    spec = {
        "deployment": "assistant", "base": "chat", "champion": "assistant-base", "trainer": trainer, "steps": steps,
        "pairs_per_step": 4, "lr": 1e-4, "beta": 0.1, "seed": 7, "device": "cpu", "max_train_pairs": 64,
        "max_held_out_pairs": 64, **more,
    }  # fmt: skip
    with store.write(now()) as tx:
        return runs.queue(tx, spec=spec, requested_by="ann")


def make_worker(
    store: Store, settings: Settings, said: list[str], name: str = "w1", engine: Engine | None = None
) -> Worker:
    """A worker that judges with ToyAsker; trains here unless an `engine` is given."""
    bench = Bench(store, settings, ToyAsker(), clock=now)
    used = engine or Local(settings.home / "runs")
    return Worker(
        store, settings, used, bench, name=name, clock=now, tell=said.append, ending=asyncio.Event(),
        modules=("toy_trainer", "toy_judge", "toy_customs"),
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
