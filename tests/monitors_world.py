"""A small installation for tests of the monitors: a real store, a clock that is set, an encoder of word counts."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from core.settings import Settings
from core.types import Feedback, Inference, ModelVersion
from monitors import cycle, defaults
from monitors.effects import Effects
from monitors.experts import no_experts
from monitors.ranking import no_scores
from store import alerts, deployments, feedback, inferences, versions
from store import monitors as rows
from store.tables import alerts as alerts_table
from store.tables import epochs, measurements, outbox
from store.unit_of_work import Store
from tests.stores import make_store

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SHOP = [
    "where",
    "is",
    "my",
    "order",
    "parcel",
    "tracking",
    "delivery",
    "late",
    "refund",
    "return",
    "size",
    "shoes",
    "shirt",
    "colour",
    "card",
    "payment",
]
OTHER = [
    "vegan",
    "recipe",
    "bake",
    "oven",
    "flour",
    "sugar",
    "butter",
    "yeast",
    "dough",
    "knead",
    "whisk",
    "simmer",
    "garlic",
    "onion",
    "basil",
]


def embed_words(texts: Sequence[str]) -> Any:
    """Unit vectors (n, 48) of hashed word counts: texts that share words are near."""
    out = np.zeros((len(texts), 48), np.float32)
    for i, text in enumerate(texts):
        for word in text.split():
            rng = np.random.default_rng(zlib.crc32(word.encode()))
            out[i] += rng.standard_normal(48).astype(np.float32)
    norms = np.linalg.norm(out, axis=1, keepdims=True)
    return out / np.where(norms > 0, norms, 1)


def no_probes(prompts: Sequence[Any], *, seed: int, deadline_seconds: float) -> Sequence[Any]:
    """Nobody answers."""
    return []


def no_report(alert: str, reference: Sequence[str], current: Sequence[str]) -> str:
    """No page is written."""
    return ""


@dataclass
class Encoding:
    """The world's encoder as a run sees it."""

    world: World

    @property
    def identity(self) -> str:
        return self.world.encoder

    def __call__(self, texts: Sequence[str]) -> Any:
        return self.world.embed(texts)


@dataclass
class World:
    """The installation under test."""

    store: Store
    settings: Settings
    now: datetime = START
    embed: Callable[[Sequence[str]], Any] = embed_words
    ask: Any = no_probes
    report: Any = no_report
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    score: Any = no_scores
    experts: Any = no_experts
    count: int = 0
    encoder: str = "words"

    @property
    def effects(self) -> Effects:
        return Effects(
            self.store,
            self.settings,
            lambda: self.now,
            Encoding(self),
            lambda prompts, **kw: self.ask(prompts, **kw),
            lambda *a: self.report(*a),
            score=lambda items, **kw: self.score(items, **kw),
            experts=lambda **kw: self.experts(**kw),
        )

    def prompt(self, words: Sequence[str] = SHOP) -> str:
        return " ".join(self.rng.choices(words, k=self.rng.randint(4, 9)))

    def send(
        self,
        n: int,
        *,
        words: Sequence[str] = SHOP,
        response: Callable[[int], str] = lambda i: "Your order will arrive soon.",
        version: str = "assistant-base",
        **values: Any,
    ) -> list[int]:
        made = []
        for i in range(n):
            self.count += 1
            prompt = values.get("prompt") or self.prompt(words)
            made.append(
                Inference(
                    uuid=f"00000000-0000-4000-8000-{self.count:012d}",
                    at=self.now + timedelta(milliseconds=i),
                    deployment="assistant",
                    version=version,
                    messages=[{"role": "user", "content": prompt}],
                    response=response(i),
                    **{"kind": "live", "latency_ms": 100.0 + i % 50, **values, "prompt": prompt},
                )
            )
        with self.store.write(self.now) as tx:
            return inferences.record(tx, made)

    def judge(self, ids: Sequence[int], value: Callable[[int], float]) -> None:
        with self.store.write(self.now) as tx:
            for i, row in enumerate(inferences.by_ids(tx, ids)):
                self.count += 1
                feedback.record(
                    tx,
                    Feedback(
                        uuid=f"00000000-0000-4000-9000-{self.count:012d}",
                        at=self.now,
                        kind="thumb",
                        inference=row.uuid,
                        value=value(i),
                    ),
                )

    def add(self, name: str, **changes: Any) -> Mapping[str, Any]:
        with self.store.write(self.now) as tx:
            defaults.ensure(tx, only=(name,))
            if changes:
                tx.execute(sa.update(rows.monitors).where(rows.monitors.c.name == name).values(**changes))
            return rows.get(tx, name)

    def run(self, name: str, seconds: float = 60) -> cycle.Outcome | None:
        self.now += timedelta(seconds=seconds)
        return cycle.run_due(name, self.effects)

    def reopened(self) -> World:
        """Another process on the same store."""
        again = world_on(Store.open(self.settings.store_url), self.settings.home)
        again.now, again.count, again.rng = self.now, self.count, self.rng
        return again

    def release(self, name: str) -> None:
        """Make a new adapter `name` and promote it, or install it as the first."""
        self.now += timedelta(seconds=1)
        with self.store.write(self.now) as tx:
            if deployments.current(tx, "assistant") is None:
                versions.register(tx, _version(name, self.now, "base"), actor="system:test")
                deployments.install(tx, "assistant", name, actor="system:test")
            else:
                versions.register(tx, _version(name, self.now, "adapter"), actor="system:test")
                deployments.request_promotion(tx, "assistant", name, actor="system:test", reason="better")
                deployments.flip(tx, deployments.requested(tx)[0]["id"], actor="system:test")
        self.now += timedelta(seconds=1)

    def roll_back(self) -> None:
        """Back to the version before."""
        self.now += timedelta(seconds=1)
        with self.store.write(self.now) as tx:
            deployments.roll_back(tx, "assistant", actor="system:test", reason="worse")
        self.now += timedelta(seconds=1)

    def epochs(self) -> list[Mapping[str, Any]]:
        with self.store.read() as tx:
            return list(tx.all(sa.select(epochs).order_by(epochs.c.id)))

    def alerts(self, kind: str = "") -> list[Mapping[str, Any]]:
        with self.store.read() as tx:
            found = tx.all(sa.select(alerts_table).order_by(alerts_table.c.id))
        return [row for row in found if not kind or row["kind"] == kind]

    def state(self, fingerprint: str) -> str:
        with self.store.read() as tx:
            row = alerts.open_alert(tx, fingerprint)
        return str(row["state"]) if row else "inactive"

    def measured(self, name: str) -> list[Mapping[str, Any]]:
        with self.store.read() as tx:
            id = rows.get(tx, name)["id"]
            query = sa.select(measurements).where(measurements.c.monitor_id == id).order_by(measurements.c.id)
            return list(tx.all(query))

    def waiting(self) -> list[Mapping[str, Any]]:
        with self.store.read() as tx:
            return list(tx.all(sa.select(outbox).order_by(outbox.c.id)))


def _version(name: str, at: datetime, kind: Any) -> ModelVersion:
    return ModelVersion(name, hashlib.sha256(name.encode()).hexdigest(), kind, "assistant-base", "", at)


def world_on(store: Store, folder: Path, **settings: Any) -> World:
    """An installation on an open store."""
    url = store.engine.url.render_as_string(hide_password=False)
    return World(store, Settings(home=folder, models_home=folder / "models", database_url=url, **settings))


def build_world(folder: Path) -> World:
    """A new installation on SQLite in `folder`."""
    store = make_store(f"sqlite:///{folder / 'trimtab.db'}", now=START)
    return world_on(store, folder)
