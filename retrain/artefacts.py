"""Takes a trained adapter into the installation: checked, content-addressed, and there whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from models.artefacts import ArtefactRefused, digest, inspect, list_files, refuse

VERSIONS = "versions"
NEEDED = ("adapter_config.json", "adapter_model.safetensors")
TAKEN = frozenset({".safetensors", ".json"})


def adopt(home: Path, adapter: Path) -> tuple[str, str]:
    """Copy `adapter` to versions/DIGEST under `home`; returns the digest and the folder relative to `home`.

    Doing it again gives the same. Raises ArtefactRefused for anything but safetensors and JSON.
    """
    try:
        inspect(adapter, needs=NEEDED)
    except OSError as error:
        raise refuse(adapter.name, "cannot be read", "Check the folder's permissions.") from error
    files = list_files(adapter)
    for path in files:
        if path.suffix.lower() not in TAKEN:
            raise refuse(path.name, "is not a safetensors or JSON file", "Keep only the adapter's own files.")
    made = digest(adapter)
    place = home / VERSIONS / made
    if place.is_dir():
        if digest(place) != made:
            raise refuse(place.name, "was changed after it was adopted", "Remove the folder and start again.")
        return made, f"{VERSIONS}/{made}"
    hidden = home / VERSIONS / f".{made}.{uuid.uuid4().hex}"
    try:
        hidden.mkdir(parents=True)
        for path in files:
            target = hidden / path.relative_to(adapter)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            _flush(target)
        if digest(hidden) != made:
            raise refuse(adapter.name, "changed while it was copied", "Start again.")
        _flush(hidden)
        try:
            hidden.rename(place)
        except OSError:
            # Another worker was first with the same content.
            if not place.is_dir() or digest(place) != made:
                raise
        _flush(place.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return made, f"{VERSIONS}/{made}"


def verify(home: Path, path: str, expected: str) -> str:
    """An empty text when the adopted folder still holds what its digest says; otherwise what is wrong with it."""
    folder = home / path
    try:
        inspect(folder, needs=NEEDED)
        return "" if digest(folder) == expected else "Its files are not those that were adopted."
    except ArtefactRefused as error:
        return error.message
    except OSError as error:
        return f"Its files cannot be read: {error.strerror}."


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
