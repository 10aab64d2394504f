"""Takes a trained adapter into the installation: checked, content-addressed, and there whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
import uuid
from pathlib import Path

from models.artefacts import ArtefactRefused, digest, inspect, list_files, read_json, refuse

VERSIONS = "versions"
NEEDED = ("adapter_config.json", "adapter_model.safetensors")
TAKEN = frozenset({".safetensors", ".json"})


def adopt(home: Path, adapter: Path, *, base: str = "") -> tuple[str, str]:
    """Copy `adapter` to versions/DIGEST under `home`; returns the digest and the folder relative to `home`.

    `base` is the digest of the model that it was trained on, which its configuration is made to name: a server then
    refuses to put it on another. Doing it again gives the same, and the folder that holds the adapter names whose copy
    it is. Raises ArtefactRefused for anything but safetensors and JSON.
    """
    try:
        inspect(adapter, needs=NEEDED)
    except OSError as error:
        raise refuse(adapter.name, "cannot be read", "Check the folder's permissions.") from error
    files = list_files(adapter)
    for path in files:
        if path.suffix.lower() not in TAKEN:
            raise refuse(path.name, "is not a safetensors or JSON file", "Keep only the adapter's own files.")
    root, run = home / VERSIONS, adapter.parent.name
    # What a kill left of an earlier try of this run goes first.
    for left in root.glob(f".{glob.escape(run)}-*.partial"):
        shutil.rmtree(left, ignore_errors=True)
    hidden = root / f".{run}-{uuid.uuid4().hex}.partial"
    try:
        hidden.mkdir(parents=True)
        for path in files:
            target = hidden / path.relative_to(adapter)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if base:
            _name_base(hidden / NEEDED[0], base)
        made = digest(hidden)
        for path in [*hidden.rglob("*"), hidden]:
            _flush(path)
        place = root / made
        try:
            hidden.rename(place)
        except OSError:
            # It was adopted before; what is there must still be that.
            if not place.is_dir():
                raise
            if digest(place) != made:
                raise refuse(
                    place.name, "was changed after it was adopted", "Remove the folder, start again."
                ) from None
        _flush(root)
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


def _name_base(config: Path, base: str) -> None:
    told = read_json(config)
    told["base_model_name_or_path"] = base
    config.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
