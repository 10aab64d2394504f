"""An installation whose gateway serves what the store says unless told otherwise: what a release worker follows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from core.ports import Fingerprint
from core.segments import Segment
from core.settings import Settings
from core.types import ModelVersion
from gateway import pointer
from gateway.pointer import Pointer
from retrain.asking import Answering, Asker, Refused
from retrain.release import Releaser
from store import apart, audit, deployments, tables, versions
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NAMES = ("assistant-base", "assistant-v1", "assistant-v2")


class Gateway(Asker):
    """A gateway that serves what the store says, unless told otherwise."""

    def __init__(self, store: Store) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")
        self.store, self.away, self.refuses, self.stuck_at = store, False, False, 0
        self.differing = False
        self.prints: dict[str, str | Fingerprint] = {name: f"print-{name}" for name in NAMES}
        self.asked: list[str] = []

    async def fingerprint(self, version: str = "", *, deployment: str = "") -> Answering:
        self.asked.append(version)
        if self.refuses and version:
            raise Refused("It was made for another base model.")
        if self.differing and not version:
            raise Refused("Server 2 of 2 answers otherwise than Server 1 of 2.")
        if self.away:
            raise Unavailable("The gateway does not answer.")
        with self.store.read() as tx:
            route = deployments.current(tx, deployment or "assistant")
        assert route is not None
        name = version or str(route["version"])
        found = self.prints[name]
        print_ = found if isinstance(found, Fingerprint) else Fingerprint(found)
        return Answering(name, self.stuck_at or int(route["generation"]), print_)


@dataclass
class Bed:
    home: Path
    store: Store
    gateway: Gateway
    now: datetime = NOW
    said: list[str] = field(default_factory=list)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += timedelta(milliseconds=300)
            asyncio.run(self.releaser().step())

    def releaser(self) -> Releaser:
        return Releaser(self.store, self.settings, self.gateway, clock=self.tick, tell=self.said.append)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, models_home=self.home / "models")

    def point(self, to: str, generation: int) -> None:
        """As `trimtab rollback` did while the database was away; the gateway then stands at that generation."""
        told = Pointer("assistant", to, generation, "Garbled.", "command-line:ops", NOW.isoformat())
        pointer.write(self.settings.pointer_path, told)
        self.gateway.stuck_at = generation

    def events(self, kind: str) -> list[tuple[str, str, Any]]:
        with self.store.read() as tx:
            rows = tx.all(sa.select(tables.audit_events).where(tables.audit_events.c.kind == kind))
            return [(row["actor"], row["subject"], row["body"]) for row in rows]

    def tick(self) -> datetime:
        # A clock that stands still hides what happens when two readings differ.
        self.now += timedelta(milliseconds=100)
        return self.now

    def ask(self, name: str, segment: Segment | None = None) -> str:
        with self.store.write(self.now) as tx:
            if segment is not None:
                of = apart.set_apart(tx, "assistant", segment, actor="ann")
                return deployments.request_promotion(tx, of, name, actor="ann", reason="Better for them.")
            return deployments.request_promotion(tx, "assistant", name, actor="ann", reason="Better.")

    def row(self, uuid: str) -> Any:
        with self.store.read() as tx:
            return tx.one(sa.select(tables.deployments).where(tables.deployments.c.uuid == uuid))

    def live(self) -> str:
        with self.store.read() as tx:
            route = deployments.current(tx, "assistant")
            assert route is not None
            assert audit.verify(tx).bad is None
            return str(route["version"])

    def alerts(self) -> list[tuple[str, str]]:
        with self.store.read() as tx:
            rows = tx.all(sa.select(tables.alerts.c.state, tables.alerts.c.summary).order_by(tables.alerts.c.id))
            return [(row["state"], row["summary"]) for row in rows]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    store = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    with store.write(NOW) as tx:
        tx.insert(tables.accounts, name="ann", role="approver", password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(NAMES):
            known = f"print-{name}" if number else ""
            # Remote versions have no files here to look at.
            version = ModelVersion(name, str(number) * 64, "remote", "chat", name, NOW, fingerprint=known)
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    yield Bed(tmp_path, store, Gateway(store))
    store.close()
