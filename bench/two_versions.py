"""A running installation that has served two versions, for what measures releases: model server, gateway and worker."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import config
from config.load import export
from core.settings import Settings
from core.types import ModelVersion
from models.tiny import write_adapter
from retrain.artefacts import adopt
from store import deployments, versions
from store.unit_of_work import Store
from trimtab import installation
from trimtab.commands.up import children

ACTOR = "system:bench"
PATIENCE_SECONDS = 180.0
PROCESSES = ("models", "gateway", "retrain")


def own_settings(home: Path, database_url: str = "") -> Settings:
    """This machine's settings with a home and a database of their own, and free ports."""
    known = config.load()
    gateway, models = replace(known.gateway, port=free_port()), replace(known.models, port=free_port())
    return replace(known, home=home, database_url=database_url, gateway=gateway, models=models)


def environment(settings: Settings) -> dict[str, str]:
    """What a process needs to run on these settings."""
    return {**os.environ, **export(settings)}


@contextmanager
def serving(settings: Settings) -> Iterator[Store]:
    """Serve the base model and then, proved, a version of it with a random adapter; gives the installation's store."""
    installation.prepare(settings, now=datetime.now(UTC), first_account=False)
    with ExitStack() as ending:
        store = ending.enter_context(closing(Store.open(settings.store_url)))
        for child in children(settings):
            if child.name in PROCESSES:
                process = subprocess.Popen(child.argv, env=environment(settings))
                ending.callback(process.wait, 60)
                ending.callback(process.terminate)
        wait_until(lambda: answers(settings) and proved(store), "the base to answer and be proved")
        name = promote(store, settings)
        wait_until(lambda: live(store, settings) == name and proved(store), f"{name} to go live and be proved")
        yield store


def promote(store: Store, settings: Settings) -> str:
    """Ask for the release of a new version; returns its name."""
    adapter = write_adapter(settings.home / "made", settings.chat_path, seed=1)
    digest, folder = adopt(settings.home, adapter)
    with store.write(datetime.now(UTC)) as tx:
        name = versions.next_name(tx, settings.deployment)
        base = versions.get(tx, f"{settings.deployment}-base")
        versions.register(
            tx, ModelVersion(name, digest, "adapter", base.base, folder, tx.now, parent=base.name), actor=ACTOR
        )
        deployments.request_promotion(tx, settings.deployment, name, actor=ACTOR, reason="Measured.")
    return name


def live(store: Store, settings: Settings) -> str:
    """The version that production names."""
    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
    assert route is not None
    return str(route["version"])


def proved(store: Store) -> bool:
    """Whether everything that is live was proved by its fingerprint."""
    with store.read() as tx:
        return not deployments.unverified(tx)


def answers(settings: Settings) -> bool:
    """Whether the gateway is ready to answer."""
    try:
        with urllib.request.urlopen(f"{settings.gateway_url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return when `holds`; ends the measurement when that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {PATIENCE_SECONDS:.0f} s for {what} in vain.")
        time.sleep(0.05)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
