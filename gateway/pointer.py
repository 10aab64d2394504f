"""The pointer file: names the version to serve while the database is away, written by a rollback on this machine."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import Unavailable


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
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(asdict(pointer), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Unavailable(
            f"The pointer file {path} cannot be written: {error.strerror}.", "Check the folder's permissions."
        ) from None
