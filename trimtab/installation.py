"""Makes an installation ready to run: folders, schema, keys, the base version live, a first account."""

from __future__ import annotations

import secrets
import shutil
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config.secrets import internal_key
from core.errors import TrimtabError, Unavailable
from core.events import digest
from core.settings import Settings
from core.types import ModelVersion
from store import accounts, deployments, keys, schema, versions
from store.soundness import find_damage
from store.unit_of_work import Store

FREE_BYTES = 200 * 1024 * 1024
# What `models.prepare` fetches where the settings name no chat model, with what its publisher states.
DEFAULT_CHAT, DEFAULT_LICENCE = "SmolLM2-135M-Instruct", "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    ok: bool
    message: str
    remedy: str = ""


def open_store(settings: Settings) -> Store:
    """The store of an installation whose schema is up to date. Raises Unavailable otherwise."""
    store = Store.open(settings.store_url)
    schema.require_current(store)
    return store


def prepare(settings: Settings, *, now: datetime, first_account: bool = True) -> list[tuple[str, str]]:
    """Bring the installation to a state in which every process can start. Safe to call at every start.

    With `first_account` an installation without people gets an admin. Returns sign-ins that were made just now, as
    (name, password): shown once and kept nowhere.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    key = internal_key(settings)
    store = Store.open(settings.store_url)
    try:
        schema.upgrade(store, now=now)
        made: list[tuple[str, str]] = []
        with store.write(now) as tx:
            keys.ensure_internal(tx, key)
            if first_account and not accounts.listed(tx):
                password = secrets.token_urlsafe(9)
                accounts.create(tx, "admin", password, "admin", actor="system:setup")
                made.append(("admin", password))
            if deployments.current(tx, settings.deployment) is None:
                base = base_version(settings, now=now)
                versions.register(tx, base, actor="system:setup")
                deployments.install(tx, settings.deployment, base.name, actor="system:setup")
        return made
    finally:
        store.close()


def base_version(settings: Settings, *, now: datetime) -> ModelVersion:
    """The version that serves before anything was trained: the local base model, or the remote one as it is."""
    name = f"{settings.deployment}-base"
    if settings.gateway.server == "transformers_local":
        from models.prepare import read_manifest

        manifest = read_manifest(settings.chat_path)
        if manifest is None:
            raise Unavailable("The chat model is not prepared.", "Run: trimtab models prepare.")
        # Of a model that somebody names nobody told the licence.
        card = {} if settings.models.chat else {"model": DEFAULT_CHAT, "licence": DEFAULT_LICENCE}
        return ModelVersion(name, manifest["digest"], "base", str(settings.chat_path), "", now, card=card)
    served = {
        "server": settings.gateway.server,
        "url": settings.gateway.upstream_url,
        "model": settings.gateway.upstream_model,
    }
    return ModelVersion(name, digest(served), "remote", settings.gateway.upstream_model, "", now, card=served)


def examine(settings: Settings) -> list[Finding]:
    """What `trimtab doctor` looks at: Python, disk, models, database, audit chain."""
    findings = [
        Finding(
            "python",
            sys.version_info >= (3, 11),
            f"Python {sys.version.split()[0]}",
            "Use Python 3.11 or newer.",
        ),
        _disk(settings.home),
        _models(settings),
        *_database(settings),
    ]
    return findings


def _disk(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    return Finding(
        "disk",
        free > FREE_BYTES,
        f"{free / 1e9:.1f} GB free where {home} lies",
        "Free some space: captures and checkpoints need it.",
    )


def _models(settings: Settings, *, encoder: bool = True) -> Finding:
    if settings.gateway.server != "transformers_local":
        return Finding("models", True, f"answers come from {settings.gateway.server}")
    needed = [settings.chat_path, *([settings.encoder_path] if encoder else [])]
    missing = [path.name for path in needed if not (path / "config.json").exists()]
    if missing:
        return Finding("models", False, f"not prepared: {', '.join(missing)}", "Run: trimtab models prepare.")
    return Finding("models", True, f"prepared in {settings.models_home}")


def _database(settings: Settings) -> list[Finding]:
    if not settings.database_url and not (settings.home / "trimtab.db").exists():
        return [Finding("database", False, "not made yet", "Run: trimtab up.")]
    store = Store.open(settings.store_url)
    try:
        schema.require_current(store)
        damage = find_damage(settings.store_url)
        if damage:
            # What reads it next may fail, and would say less.
            return [Finding("database file", False, *damage.split(". ", 1))]
        from store import audit

        with store.read() as tx:
            chain = audit.verify(tx)
        verdict = f"{chain.count} events" if chain.bad is None else f"event {chain.bad}: {chain.reason}"
        return [
            Finding("database", True, f"{store.engine.dialect.name}, schema {schema.head()}"),
            Finding("database file", True, "its pages are sound"),
            Finding("audit chain", chain.bad is None, verdict, "Keep the database as it is and restore a backup."),
        ]
    except TrimtabError as error:
        return [Finding("database", False, error.message, error.remedy)]
    finally:
        store.close()


def require_models(settings: Settings, *, encoder: bool = True) -> None:
    """Raise Unavailable unless the models that the settings need are on disk: only the chat model without `encoder`."""
    finding = _models(settings, encoder=encoder)
    if not finding.ok:
        raise Unavailable(f"The models are {finding.message}.", finding.remedy)
