"""Files beside the database: what was served last, and a pointer that moves it while the database is away."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from core.errors import Conflict, NotFound, Unavailable
from core.segments import MARK, Segment, deployment_of
from core.settings import Settings
from store.routes import Route

# A version's kind and its folder, as its row has them.
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What to serve as `deployment`, since when (`at`, ISO 8601) and who said so; its generation must be newer."""

    deployment: str
    version: str
    generation: int
    reason: str
    actor: str
    at: str


def read(path: Path) -> dict[str, Pointer]:
    """The pointers by deployment; none where there is no file that can be read: a torn one must not move production."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        pointers = [Pointer(**one) for one in (found if isinstance(found, list) else [found])]
    except (OSError, ValueError, TypeError):
        return {}
    return {pointer.deployment: pointer for pointer in pointers} if all(map(_is_whole, pointers)) else {}


def write(path: Path, *pointers: Pointer) -> None:
    """Put `pointers` in place at once, all or none, beside those of other deployments. Raises Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # To be read is enough for a lock: somebody else may have made the file.
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritable(path, error) from None
    with os.fdopen(lock):
        # Two people at once: what the one writes must not be what the other read before.
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = {**read(path), **{pointer.deployment: pointer for pointer in pointers}}
        _replace(path, [asdict(pointer) for pointer in kept.values()])


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


def remember_places(path: Path, places: Mapping[str, Place]) -> None:
    """Keep beside the routes at `path` where the versions lie that have served here. Raises Unavailable."""
    _replace(_places_path(path), places)


def recall_places(path: Path) -> dict[str, Place]:
    """The versions kept beside the routes at `path`; none when there are none that can be read."""
    try:
        found = json.loads(_places_path(path).read_text(encoding="utf-8"))
        return {str(version): (str(kind), str(where)) for version, (kind, where) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def point(
    settings: Settings, *, to: str, reason: str, actor: str, now: datetime, segment: Segment | None = None
) -> str:
    """Roll back through the pointer (empty `to`: the version before) and return what will be served.

    `segment` alone, or else everybody: the deployment and each segment that has a version of its own. For use while the
    database is away: the gateway on this machine follows within its poll, and the retrain worker enters the rollback
    into the database, audited, when that returns. Raises NotFound when no gateway has served here, and for a version
    whose folder nobody knows while the database is away: the gateway would wait for it and go on as it is.
    """
    pointed, kept = read(settings.pointer_path), recall(remembered_path(settings))
    standing = {route.deployment: _standing(route, pointed) for route in kept}
    name = settings.deployment if segment is None else deployment_of(settings.deployment, segment)
    if name not in standing:
        what = name if segment is None else f"{settings.deployment} to {segment} with a version of its own"
        raise NotFound(f"No gateway on this machine has served {what}.", "Bring the database back.")
    served, previous, _ = standing[name]
    target = to or previous
    if not target or target == served:
        raise Conflict(f"No version before {served} is known here.", "Name one with --to.")
    named = {one for route in kept for one in (route.version, route.previous, route.candidate) if one}
    known = sorted(named | recall_places(remembered_path(settings)).keys())
    if target not in known:
        raise NotFound(
            f"{target[:80]} is not known here while the database is away.", f"Known are: {', '.join(known)}."
        )
    fresh = [
        Pointer(each, target, generation + 1, reason, actor, now.isoformat())
        for each, (_, _, generation) in standing.items()
        if each == name or (segment is None and each.startswith(f"{name}{MARK}"))
    ]
    write(settings.pointer_path, *fresh)
    return target


def _standing(route: Route, pointed: Mapping[str, Pointer]) -> tuple[str, str, int]:
    """(version served, version before, generation) of a deployment here and now; nothing is before a pointer's."""
    last = pointed.get(route.deployment)
    if last is not None and last.generation > route.generation:
        return last.version, route.previous if last.version == route.version else "", last.generation
    return route.version, route.previous, route.generation


def _places_path(path: Path) -> Path:
    return path.with_name("served.json")


def _is_whole(pointer: Pointer) -> bool:
    texts = (pointer.deployment, pointer.version, pointer.reason, pointer.actor, pointer.at)
    return all(isinstance(text, str) for text in texts) and type(pointer.generation) is int


def _replace(path: Path, value: Any) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        # The new name too must survive a power cut: an operator was told that it is done.
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"The file {path} cannot be written: {error.strerror}.", "Check the folder's permissions.")
