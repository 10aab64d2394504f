"""A run from its queueing to the proved promotion of its candidate, with processes killed (-9) at given points.

What is watched all the while is what a crash must never leave: a folder of a version, adapter or checkpoint that is
not whole, a promotion that nobody finishes, a run that nobody carries on.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from core.settings import Settings
from models.artefacts import ArtefactRefused, digest, read_header, read_json
from retrain.engines.local import Local
from retrain.training.progress import read_events
from store import audit, deployments, versions
from store.unit_of_work import Store
from tests import runs_world as world

STAGES = ("pairs", "train", "evaluate", "gate", "promote")
# The longest stages, and those with most to lose, are hit more often.
_HIT = ("pairs", "train", "train", "evaluate", "gate", "promote")
TARGETS = ("worker", "trainer")
_OVER = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill `target` once the stage has lasted `after` seconds and training has made so many steps, or when it is over
    before that."""

    stage: str
    after: float
    target: str
    step: int = 0


@dataclass(slots=True)
class Outcome:
    """What a life left: the candidate's digest, what each kill hit, how long nobody went on, what is wrong."""

    digest: str = ""
    steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    killed: list[tuple[str, str, float]] = field(default_factory=list)
    resumed_at: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def draw_kills(draw: random.Random, seconds: dict[str, float], count: int, steps: int) -> list[Kill]:
    """`count` points at random: a stage, a moment within what it usually takes, and whom to hit; in their order.

    A stage that is not in `seconds` was over before anybody looked. Most of a short run's training is the start of its
    process: half of the hits there come after a step drawn from its `steps`.
    """
    kills = []
    for _ in range(count):
        stage = draw.choice(_HIT)
        if stage == "train" and draw.random() < 0.5:
            kills.append(Kill(stage, 0.0, "trainer", draw.randrange(1, steps)))
        else:
            kills.append(Kill(stage, draw.uniform(0.0, seconds.get(stage, 0.0)), draw.choice(TARGETS)))
    return sorted(kills, key=lambda kill: (STAGES.index(kill.stage), kill.step, kill.after))


class Life:
    """One run on an installation whose gateway answers; `live` carries it through `kills`."""

    def __init__(self, settings: Settings, store: Store, *, steps: int = world.STEPS) -> None:
        self.settings, self.store = settings, store
        self.uuid = world.queue(store, settings, steps=steps)
        self.folder = settings.home / "runs" / self.uuid
        self.worker: subprocess.Popen[bytes] | None = None
        self.outcome = Outcome()
        self.entered: dict[str, float] = {}

    def live(self, kills: Sequence[Kill], *, patience: float) -> Outcome:
        """Return once the candidate is live and proved, or when nothing went on for `patience` seconds."""
        waiting = list(kills)
        self.worker = world.start(self.settings, "retrain")
        hit: tuple[str, str, float, Any] | None = None
        last, changed = self._sign(), time.monotonic()
        try:
            while not self._done():
                at, sign = time.monotonic(), self._sign()
                self._enter(at)
                self.outcome.wrong += find_torn(self.settings.home, self.folder)
                if sign != last:
                    last, changed = sign, at
                if hit is not None and sign != hit[3]:
                    self.outcome.killed.append((hit[0], hit[1], at - hit[2]))
                    hit = None
                if hit is None and waiting and self._reached(waiting[0]):
                    kill = waiting.pop(0)
                    hit = (kill.stage, self._kill(kill.target), time.monotonic(), self._sign())
                if at - changed > patience:
                    self.outcome.wrong.append(f"nothing went on for {patience:.0f} s: {last}")
                    break
                world.approve_promotion(self.store)
                time.sleep(0.02)
            if hit is not None:
                self.outcome.killed.append((hit[0], hit[1], time.monotonic() - hit[2]))
        finally:
            self.worker.terminate()
            self.worker.wait()
        self._examine()
        return self.outcome

    def _sign(self) -> Any:
        """What changes when somebody goes on: who holds the run, its stage, and how far the promotion is."""
        row = world.get(self.store, self.uuid)
        with self.store.read() as tx:
            released = [(d["state"], d["verified_at"]) for d in deployments.history(tx, self.settings.deployment)]
        over = row["state"] if row["state"] in _OVER else ""
        return row["fence"], row["stage"], over, len(released), released[-1]

    def _stage(self) -> str:
        row = world.get(self.store, self.uuid)
        return "promote" if row["state"] == "succeeded" else str(row["stage"])

    def _enter(self, at: float) -> None:
        stage = self._stage()
        if stage not in self.entered:
            self._leave(at)
            self.entered[stage] = at

    def _reached(self, kill: Kill) -> bool:
        stage = list(self.entered)[-1]
        if stage == kill.stage:
            return time.monotonic() - self.entered[stage] >= kill.after and self._steps() >= kill.step
        return STAGES.index(stage) > STAGES.index(kill.stage)

    def _steps(self) -> int:
        made = [event["step"] for event in read_events(self.folder / "progress.jsonl") if event["event"] == "step"]
        return int(made[-1]) if made else 0

    def _leave(self, at: float) -> None:
        for stage, since in self.entered.items():
            # A stage ends when the next one begins.
            self.outcome.seconds.setdefault(stage, at - since)

    def _kill(self, target: str) -> str:
        """Kill the trainer if there is one and it is meant, otherwise the worker; returns who was hit."""
        if target == "trainer":
            for job in Local(self.settings.home / "runs").list():
                os.killpg(int(job.partition("/")[2]), signal.SIGKILL)
                return "trainer"
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()
        # As the supervisor does.
        self.worker = world.start(self.settings, "retrain")
        return "worker"

    def _done(self) -> bool:
        row = world.get(self.store, self.uuid)
        if row["state"] in ("failed", "cancelled"):
            self.outcome.wrong.append(f"{row['state']}: {row['message']}")
            return True
        if row["state"] == "succeeded" and "a promotion is proposed" not in row["message"]:
            self.outcome.wrong.append(row["message"])
            return True
        return row["state"] == "succeeded" and world.is_live(self.store, self.settings, row["candidate"])

    def _examine(self) -> None:
        wrong, row = self.outcome.wrong, world.get(self.store, self.uuid)
        self._leave(time.monotonic())
        with self.store.read() as tx:
            listed = versions.listed(tx)
            chain = audit.verify(tx)
            if deployments.requested(tx) or deployments.unverified(tx):
                wrong.append("a promotion is unfinished")
        if chain.bad is not None:
            wrong.append(f"the audit chain breaks at {chain.bad}")
        made = [version for version in listed if version.kind == "adapter"]
        if len(made) != 1 or made[0].name != row["candidate"]:
            wrong.append(f"{len(made)} versions were made by one run")
        else:
            self.outcome.digest = made[0].digest
        if any(self.uuid in " ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])):
            wrong.append("a trainer was left behind")
        self.outcome.steps = self._steps()
        starts = [event for event in read_events(self.folder / "progress.jsonl") if event["event"] == "start"]
        self.outcome.resumed_at = [int(event["step"]) for event in starts[1:]]


def find_torn(home: Path, run: Path) -> list[str]:
    """What is wrong with the folders that somebody could take for whole: versions, the run's adapter, checkpoints."""
    wrong = []
    for version in (home / "versions").glob("[!.]*"):
        if digest(version) != version.name:
            wrong.append(f"versions/{version.name[:8]} is not what its name says")
    for folder, told, weights in [
        *((path, "state.json", "tensors.safetensors") for path in (run / "checkpoints").glob("step-*")),
        *((path, "adapter_config.json", "adapter_model.safetensors") for path in run.glob("adapter")),
    ]:
        try:
            read_json(folder / told)
            read_header(folder / weights)
        except (ArtefactRefused, FileNotFoundError) as error:
            # One that a later one replaces meanwhile is no longer there to be seen.
            if folder.exists():
                wrong.append(f"{folder.name} can be seen and is not whole: {error}")
    return wrong
