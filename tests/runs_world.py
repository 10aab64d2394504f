"""An installation whose runs are real and quick: a tiny model, pairs that can be learnt, and scripted answers.

Gateway, worker and trainers are the product's own processes; only what a version answers to a chat is made up.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.load import export
from core.settings import GatewaySettings, ModelSettings, RetrainSettings, Settings
from core.types import Inference, PreferencePair
from store import accounts, decisions, deployments, inferences, pairs, runs
from store.unit_of_work import Store
from trimtab import installation

ROOT = Path(__file__).resolve().parents[1]
APPROVER = "ann"
PAIRS, REPLAYED = 160, 72
STEPS = 24


def build(
    folder: Path, *, seed: int = 0, lease_seconds: float = 30.0, server: str = "scripted", full: bool = False
) -> Settings:
    """An installation in `folder` with pairs approved and the base model live; every process is yet to start.

    Its runs train all weights if `full`, otherwise an adapter.
    """
    from models.prepare import build_chat, put
    from models.tiny import write_model

    settings = Settings(
        home=folder / "home",
        models_home=folder / "models",
        gateway=GatewaySettings(server=server, port=free_port()),
        models=ModelSettings(port=free_port()),
        # The scripted server tells no computing time: by the clock the gate would judge what else the machine does.
        retrain=RetrainSettings(
            device="cpu",
            threads=1,
            checkpoint_seconds=0.25,
            lease_seconds=lease_seconds,
            gate_latency_margin=20.0,
            finetuning_type="full" if full else "lora",
        ),
    )
    model = write_model(folder / "tiny", seed=seed)
    settings.models_home.mkdir(parents=True)
    put(settings.chat_path, str(model), "", build_chat, lambda *_: None)
    installation.prepare(settings, now=now(), first_account=False)
    with closing(Store.open(settings.store_url)) as store, store.write(now()) as tx:
        accounts.create(tx, APPROVER, "a long pass phrase", "approver", actor="system:test")
        pairs.add(tx, make_pairs(seed), actor="system:test")
        pairs.judge(tx, {pair.id: [] for pair in pairs.collected(tx)}, actor="system:test")
        inferences.record(tx, [make_inference(n, settings.deployment) for n in range(REPLAYED)])
    return settings


def copy(settings: Settings, folder: Path) -> Settings:
    """The same installation in `folder`, with the models shared and a gateway's port of its own."""
    shutil.copytree(settings.home, folder / "home")
    return replace(settings, home=folder / "home", gateway=replace(settings.gateway, port=free_port()))


def make_pairs(seed: int) -> list[PreferencePair]:
    """Pairs of different prompts; the preferred answer is in capitals, so that there is something to learn."""
    draw = random.Random(seed)
    found = []
    for number in range(PAIRS):
        prompt = f"{''.join(draw.choices('abcdef ', k=12))} {number}?"
        good, bad = ("".join(draw.choices(letters, k=draw.randint(8, 24))) for letters in ("ABCDEF", "abcdef"))
        found.append(PreferencePair("", [{"role": "user", "content": prompt}], good, bad, licence="CC0-1.0"))
    return found


def make_inference(n: int, deployment: str) -> Inference:
    prompt = f"Where is parcel {n}?"
    messages = [{"role": "user", "content": prompt}]
    return Inference(f"i-{n}", now(), deployment, f"{deployment}-base", "live", messages, prompt, "On its way.")


def queue(store: Store, settings: Settings, *, steps: int = STEPS) -> str:
    """Queue a run of `steps` on the base; returns its uuid. Equal installations give equal weights."""
    deployment, trains = settings.deployment, settings.retrain.finetuning_type
    spec = {
        "deployment": deployment, "base": "chat", "champion": f"{deployment}-base", "trainer": "dpo", "steps": steps,
        "pairs_per_step": 4, "finetuning_type": trains, "lr": 1e-2 if trains == "lora" else 2e-3, "beta": 0.1,
        "seed": 7, "device": "cpu", "max_train_pairs": 96, "max_held_out_pairs": 64,
    }  # fmt: skip
    with store.write(now()) as tx:
        return runs.queue(tx, spec=spec, requested_by=APPROVER)


def approve_promotion(store: Store) -> bool:
    """Approve the promotion that waits, if one does."""
    with store.write(now()) as tx:
        waiting = [row for row in decisions.waiting(tx) if row["kind"] == "promote"]
        for row in waiting:
            decisions.approve(tx, row["uuid"], actor=APPROVER, digest=row["digest"])
    return bool(waiting)


def get(store: Store, uuid: str) -> Mapping[str, Any]:
    """The run's row."""
    with store.read() as tx:
        return runs.get(tx, uuid)


def is_live(store: Store, settings: Settings, version: str) -> bool:
    """Whether `version` serves, its fingerprint is proved and nothing more is requested."""
    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
        unfinished = deployments.requested(tx) or deployments.unverified(tx)
    return route is not None and route["version"] == version and not unfinished


def start(settings: Settings, name: str) -> subprocess.Popen[bytes]:
    """The process `name` (gateway, retrain) of the installation, its output going to NAME.log in its home."""
    environment = {**os.environ, **export(settings), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (settings.home / f"{name}.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", name], cwd=ROOT, env=environment, stdout=log, stderr=log)


@contextmanager
def serving(settings: Settings) -> Iterator[Store]:
    """The installation's store while its gateway answers, from the local model server where it asks that."""
    wanted = ["models", "gateway"] if settings.gateway.server == "transformers_local" else ["gateway"]
    processes = [start(settings, name) for name in wanted]
    try:
        wait_until(lambda: answers(settings), 60.0)
        with closing(Store.open(settings.store_url)) as store:
            yield store
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def answers(settings: Settings) -> bool:
    """Whether the gateway is ready."""
    try:
        with urllib.request.urlopen(f"{settings.gateway_url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait_until(true: Callable[[], Any], seconds: float) -> None:
    """Return once `true` says so. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing within {seconds:.0f} s")
        time.sleep(0.02)


def now() -> datetime:
    return datetime.now(UTC)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
