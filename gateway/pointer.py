"""Files beside the database: what was served last, and a pointer that moves it while the database is away."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import Conflict, NotFound, Unavailable
from core.settings import Settings
from store.routes import Route


@dataclass(frozen=True, slots=True)
class Pointer:
    """What to serve as `deployment`, since when (`at`, ISO 8601) and who said so; its generation must be newer."""

    deployment: str
    version: str
    generation: int
    reason: str
    actor: str
    at: str


def read(path: Path) -> Pointer | None:
    """The pointer, or None when there is none that can be read: a torn file must not move production."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        pointer = Pointer(**found)
    except (OSError, ValueError, TypeError):
        return None
    texts = (pointer.deployment, pointer.version, pointer.reason, pointer.actor, pointer.at)
    if not all(isinstance(text, str) for text in texts) or type(pointer.generation) is not int:
        return None
    return pointer


def write(path: Path, pointer: Pointer) -> None:
    """Put `pointer` in place at once, whole or not at all. Raises Unavailable."""
    _replace(path, asdict(pointer))


def remembered_path(settings: Settings) -> Path:
    """The file in which a gateway keeps the routes it saw last."""
    return settings.home / "routes.json"


def remember(path: Path, routes: Iterable[Route]) -> None:
    """Keep `routes` for when the database is away. Raises Unavailable."""
    _replace(path, [asdict(route) for route in routes])


def recall(path: Path) -> list[Route]:
    """The routes kept last; none when there are none that can be read."""
    try:
        return [Route(**found) for found in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def point(settings: Settings, *, to: str, reason: str, actor: str, now: datetime) -> str:
    """Roll the deployment back through the pointer (empty `to`: the version before) and return what will be served.

    For use while the database is away: the gateway on this machine follows within its poll, and the retrain worker
    enters the rollback into the database, audited, when that returns. Raises NotFound when no gateway has served here.
    """
    kept = recall(remembered_path(settings))
    route = next((route for route in kept if route.deployment == settings.deployment), None)
    if route is None:
        raise NotFound(f"No gateway on this machine has served {settings.deployment}.", "Bring the database back.")
    last = read(settings.pointer_path)
    served, generation = route.version, route.generation
    if last is not None and last.deployment == settings.deployment and last.generation > generation:
        served, generation = last.version, last.generation
    target = to or (route.previous if served == route.version else "")
    if not target or target == served:
        raise Conflict(f"No version before {served} is known here.", "Name one with --to.")
    write(
        settings.pointer_path,
        Pointer(settings.deployment, target, generation + 1, reason, actor, now.isoformat()),
    )
    return target


def _replace(path: Path, value: Any) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Unavailable(
            f"The file {path} cannot be written: {error.strerror}.", "Check the folder's permissions."
        ) from None
