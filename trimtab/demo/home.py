"""The demonstration's own installation, made afresh beside the real one, and what it starts with."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from core.errors import InvalidInput
from core.settings import Settings
from gateway.imports import import_pairs, import_traffic
from monitors import defaults
from store import accounts, feedback, inferences, keys
from store.unit_of_work import Store
from trimtab.demo import corpus
from trimtab.demo.feedback import on_history

FOLDER, MARK = "demo", "this folder is a demonstration and is remade at every start"
HISTORY_ROWS, REFERENCE_ROWS, PAIR_ROWS = 700, 500, 240
PEOPLE = (("viewer", "viewer"), ("operator", "operator"), ("approver", "approver"), ("admin", "admin"))
AUTOPILOT = "simulated-approver"
SEED = 7
# Wider than an installation's own 0.1: seventy attacks, all that two cores can ask in a minute, decide no finer.
GATE_MARGIN = 0.2


def demo_settings(settings: Settings) -> Settings:
    """The settings of the demonstration: the same ports and models, its own folder and its own SQLite file."""
    return dataclasses.replace(
        settings,
        home=settings.home / FOLDER,
        database_url="",
        monitors=dataclasses.replace(settings.monitors, tick_seconds=1.0),
        retrain=dataclasses.replace(
            settings.retrain,
            max_steps=24,
            pairs_per_step=4,
            max_train_pairs=96,
            max_held_out_pairs=96,
            gate_margin=GATE_MARGIN,
        ),
        dashboard=dataclasses.replace(settings.dashboard, demo=True),
    )


def clear(settings: Settings) -> None:
    """Remove what an earlier demonstration left. Raises InvalidInput for a folder that is not a demonstration's."""
    if not settings.home.exists():
        return
    if not (settings.home / MARK_FILE).exists():
        raise InvalidInput(
            f"{settings.home} exists and is not a demonstration's folder.", "Move it away; it is not touched."
        )
    shutil.rmtree(settings.home)


def mark(settings: Settings) -> None:
    """Say in the folder itself that it may be removed."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / MARK_FILE).write_text(MARK + "\n")


MARK_FILE = "DEMO"


def customers_key_path(settings: Settings) -> Path:
    """File of the API key that the simulated customers use."""
    return settings.home / "secrets" / "customers.key"


def furnish(settings: Settings, *, now: datetime) -> list[tuple[str, str, str]]:
    """Fill a fresh demonstration: people, a key, history with feedback, pairs. Returns (name, password, role)."""
    store = Store.open(settings.store_url)
    try:
        signs = [(name, secrets.token_urlsafe(8), role) for name, role in PEOPLE]
        with store.write(now) as tx:
            for name, password, role in signs:
                accounts.create(tx, name, password, role, actor="system:demo", demo=True)
            accounts.create(tx, AUTOPILOT, secrets.token_urlsafe(24), "approver", actor="system:demo", demo=True)
            _keep(customers_key_path(settings), keys.create(tx, "demo customers", "chat", actor="system:demo"))
        files = settings.home / "demo-data"
        history = _write(files / "history.jsonl.gz", corpus.history(HISTORY_ROWS, seed=SEED, now=now))
        pairs = _write(files / "pairs.jsonl.gz", corpus.labelled_pairs(PAIR_ROWS, seed=SEED + 1, now=now))
        import_traffic(store, history, {}, actor="system:demo", now=now, deployment=settings.deployment)
        import_pairs(store, pairs, {}, actor="system:demo", now=now)
        with store.write(now) as tx:
            for given in on_history(inferences.after(tx, 0, limit=HISTORY_ROWS), seed=SEED + 2):
                feedback.record(tx, given)
            defaults.ensure(tx, reference=REFERENCE_ROWS)
        return signs
    finally:
        store.close()


def _keep(path: Path, secret: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secret)


def _write(path: Path, rows: Iterable[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path
