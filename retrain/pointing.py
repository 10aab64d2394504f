"""A rollback while the database is away: a local file that the gateway obeys, and its entry in the books afterwards."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from core.errors import Conflict, InvalidInput, TrimtabError, Unavailable
from core.settings import Settings
from gateway import pointer as pointers
from gateway.pointer import Pointer
from store import deployments
from store.unit_of_work import Tx

ACTOR = "system:release"
# The gateway reads routes and file one after the other: the file stays until every reader has the new route.
KEPT_SECONDS = 5.0


def point(settings: Settings, version: str, reason: str, actor: str, now: datetime) -> Pointer:
    """Point this machine's gateway at `version` (empty: the one before) without the database; returns what it reads.

    Raises InvalidInput without a reason, Conflict when nothing earlier is known, Unavailable when the last known
    route or the file's folder cannot be used.
    """
    if not reason.strip():
        raise InvalidInput("A rollback needs a reason.", "Say in a sentence what is wrong.")
    route = known(settings)
    if route is None:
        raise Unavailable(
            "This machine does not know what is live.", "Start the database, or run this where the worker ran."
        )
    standing = pointers.read(settings.pointer_path)
    generation = int(route["generation"])
    live = str(route["version"])
    if standing is not None and standing.generation > generation:
        generation, live = standing.generation, standing.version
    wanted = version or str(route["previous"])
    if not wanted or wanted == live:
        raise Conflict(f"{live} is live and nothing earlier is known to go back to.", "Name a version.")
    made = Pointer(settings.deployment, wanted, generation + 1, reason.strip(), actor, now.isoformat())
    pointers.write(settings.pointer_path, made)
    return made


def known(settings: Settings) -> dict[str, Any] | None:
    """The route as the worker last saw it (version, previous, generation), or None."""
    try:
        found = json.loads(_mirror_path(settings).read_text("utf-8"))
        return found if isinstance(found, dict) and {"version", "previous", "generation"} <= set(found) else None
    except (OSError, ValueError):
        return None


def mirror(tx: Tx, settings: Settings) -> None:
    """Keep the present route in a file, for the day when the database is away."""
    route = deployments.current(tx, settings.deployment)
    if route is None:
        return
    told = {"version": route["version"], "previous": route["previous"], "generation": int(route["generation"])}
    if known(settings) == told:
        return
    path = _mirror_path(settings)
    fresh = path.with_name(f".{path.name}.partial")
    try:
        fresh.write_text(json.dumps(told), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}.", "Check the folder's permissions.") from None


def pending(settings: Settings) -> bool:
    """Whether somebody left a pointer."""
    return settings.pointer_path.exists()


def reconcile(tx: Tx, settings: Settings) -> str:
    """Enter a pointer into the books as the rollback that it was; returns a line when something was done."""
    pointer = pointers.read(settings.pointer_path)
    route = deployments.current(tx, settings.deployment)
    if pointer is None or route is None or pointer.deployment != settings.deployment:
        return ""
    told = {"version": pointer.version, "reason": pointer.reason, "by": pointer.actor, "at": pointer.at}
    if pointer.generation <= route["generation"]:
        if pointer.generation == route["generation"] and pointer.version != route["version"]:
            tx.audit(ACTOR, "pointer.overtaken", settings.deployment, told)
            settings.pointer_path.unlink(missing_ok=True)
            return f"the pointer to {pointer.version} came after another change and was dropped"
        if tx.now - route["changed_at"] > timedelta(seconds=KEPT_SECONDS):
            settings.pointer_path.unlink(missing_ok=True)
        return ""
    try:
        deployments.roll_back(
            tx,
            settings.deployment,
            actor=pointer.actor,
            reason=pointer.reason,
            to=pointer.version,
            generation=pointer.generation,
        )
    except TrimtabError as error:
        tx.audit(ACTOR, "pointer.refused", settings.deployment, {**told, "why": error.message})
        settings.pointer_path.unlink(missing_ok=True)
        return f"the pointer to {pointer.version} was refused: {error.message}"
    tx.audit(pointer.actor, "pointer.reconciled", settings.deployment, {**told, "generation": pointer.generation})
    return f"the rollback to {pointer.version} that was made without the database is entered"


def _mirror_path(settings: Settings) -> Path:
    return settings.home / "route.json"
