"""A small installation for tests and pictures of the console: a real store with a day of a shop's support assistant."""

from __future__ import annotations

import shutil
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.ports import Fingerprint
from core.settings import DashboardSettings, Settings
from core.types import Feedback, Inference, ModelVersion
from store import accounts, deployments, feedback, inferences, prints, versions
from store import heartbeats as pulses
from store.tables import alerts as alert_table
from store.tables import heartbeats
from store.unit_of_work import Store, Tx
from tests import console_probes, console_story
from tests.console_fairness import tell_fairness
from tests.console_outlook import tell_prospects
from tests.console_pairs import tell_pairs
from tests.console_traffic import tell_traffic
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
PASSWORD = "a long enough password"
PEOPLE = {"root": "admin", "ann": "approver", "bea": "approver", "otto": "operator", "vera": "viewer"}
Say = Callable[[str], str]


def as_it_is(text: str) -> str:
    """Texts as the shop's customers would write them."""
    return text


@dataclass
class World:
    """The installation and the uuids that pages are asked for."""

    settings: Settings
    store: Store
    now: datetime
    alert: str = ""
    retrain: str = ""
    promote: str = ""
    run: str = ""
    trained: str = ""
    rows: tuple[str, ...] = ()
    pair: str = ""
    dataset: str = ""

    def sign_in(self, name: str) -> str:
        """A session's token for `name`."""
        return accounts.sign_in(self.store, name, PASSWORD, now=self.now, hours=12)

    def copy(self, folder: Path) -> World:
        """The same installation on SQLite once more, in the new `folder`; this one's store must be closed."""
        shutil.copytree(self.settings.home, folder)
        settings = replace(self.settings, home=folder, models_home=folder / "models")
        return replace(self, settings=settings, store=Store.open(settings.store_url))


def build_empty(
    folder: Path, *, now: datetime = NOW, port: int = 8702, demo: bool = False, store: Store | None = None
) -> World:
    """An installation as the first start leaves it: tables and accounts, nothing else. Its store is `store`, which must
    be empty, or SQLite in `folder`."""
    settings = Settings(home=folder, models_home=folder / "models", dashboard=DashboardSettings(port=port, demo=demo))
    store = store or make_store(settings.store_url, now=now - timedelta(days=2))
    with store.write(now - timedelta(days=2)) as tx:
        for name, role in PEOPLE.items():
            accounts.create(tx, name, PASSWORD, role, actor="system:setup")
    return World(settings, store, now)


def build_filled(
    folder: Path,
    *,
    say: Say = as_it_is,
    now: datetime = NOW,
    port: int = 8702,
    demo: bool = False,
    store: Store | None = None,
) -> World:
    """The same with a day of traffic, an alert that fires, a proposal, runs, a judged candidate and two releases."""
    world = build_empty(folder, now=now, port=port, demo=demo, store=store)
    store = world.store
    with store.write(now - timedelta(days=1)) as tx:
        _models(tx, say)
    with store.write(now - timedelta(hours=20)) as tx:
        _traffic(tx, world, say)
    console_story.tell_monitors(world, say)
    tell_fairness(world, say)
    console_probes.tell_probes(world, say)
    console_story.tell_alerts(world, say)
    console_story.tell_runs(world, say)
    tell_traffic(world, say)
    tell_pairs(world, say)
    tell_prospects(world, say)
    with store.write(now) as tx:
        for role in ("gateway", "monitors", "retrain"):
            pulses.beat(tx, f"{role}-1", role, 4000, now - timedelta(hours=3), {"version": "0.1.0"})
        # The pages' clock stands still in tests, the pulses' does not.
        tx.execute(heartbeats.update().values(at=tx.database_now() + timedelta(hours=1)))
    return world


def _models(tx: Tx, say: Say) -> None:
    at = tx.now
    base = ModelVersion(
        "assistant-base",
        "b" * 64,
        "base",
        "",
        "",
        at,
        fingerprint="f0" * 16,
        card={"model": "SmolLM2-135M-Instruct", "licence": "Apache-2.0"},
    )
    first = ModelVersion(
        "assistant-v1",
        "1" * 64,
        "adapter",
        "assistant-base",
        "versions/1",
        at,
        parent="assistant-base",
        fingerprint="f1" * 16,
        card={"pairs": 214, "note": say("Trained on the first month of feedback.")},
    )
    second = ModelVersion(
        "assistant-v2",
        "2" * 64,
        "adapter",
        "assistant-base",
        "versions/2",
        at + timedelta(hours=22),
        parent="assistant-v1",
        fingerprint="f2" * 16,
        card={"pairs": 256, "note": say("Adds answers about the loyalty programme.")},
    )
    third = ModelVersion(
        "assistant-v3",
        "3" * 64,
        "adapter",
        "assistant-base",
        "versions/3",
        at + timedelta(hours=23),
        parent="assistant-v1",
        fingerprint="f3" * 16,
        card={"pairs": 96},
    )
    for version in (base, first, second, third):
        versions.register(tx, version, actor="system:retrain")
    deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    uuid = deployments.request_promotion(
        tx, "assistant", "assistant-v1", actor="ann", reason=say("Better on every check.")
    )
    row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
    deployments.flip(tx, row["id"], actor="system:retrain", fingerprint="f1" * 16)
    found = Fingerprint("f1" * 16, place="torch 2.13.0, transformers 5.1.0, Some Processor AVX512, bfloat16")
    prints.accept(tx, "assistant-v1", found, actor="system:retrain")
    deployments.verify(tx, row["id"], found.digest, actor="system:retrain")


ASKED = (
    ("Where is my parcel? It was due on Tuesday.", "I am sorry for the wait. Your parcel left the depot this morning."),
    ("Can I return shoes that I wore once?", "You can return them within 30 days if they look unworn."),
    ("How many loyalty points do I get for a refund?", "I cannot help with that."),
    ("My points disappeared after the update, why?", "I cannot help with that."),
    ("Can I pay with loyalty points and a card together?", "Please contact support."),
)


def _traffic(tx: Tx, world: World, say: Say) -> None:
    rows = []
    for number in range(200):
        prompt, answer = ASKED[number % len(ASKED)]
        rows.append(
            Inference(
                uuid=str(uuids.UUID(int=number + 1)),
                at=tx.now + timedelta(minutes=6 * number),
                deployment="assistant",
                version="assistant-v1",
                kind="live",
                messages=[{"role": "user", "content": say(prompt)}],
                prompt=say(prompt),
                response=say(answer),
                latency_ms=420.0,
                labels={"channel": say("web")},
            )
        )
    inferences.record(tx, rows)
    for row in rows[:30]:
        item = Feedback(
            str(uuids.uuid4()), row.at, "thumb", inference=row.uuid, value=-1.0, comment=say("Not what I asked.")
        )
        feedback.record(tx, item)
    world.rows = tuple(row.uuid for row in rows)


def resolved(world: World) -> None:
    """End every alert, for pages about quiet."""
    with world.store.write(world.now) as tx:
        tx.execute(alert_table.update().values(state="resolved", resolved_at=world.now - timedelta(minutes=30)))
