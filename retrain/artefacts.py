"""Takes what was trained into the installation: checked, content-addressed, and there whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
import uuid
from pathlib import Path

from core.errors import InvalidInput
from core.types import ModelVersion
from models.artefacts import (
    ADAPTER_CONFIG,
    ALLOWED_SUFFIXES,
    ArtefactRefused,
    digest,
    inspect,
    is_adapter,
    list_files,
    read_json,
    refuse,
)
from retrain.training.checkpoint import write_whole

VERSIONS, ADOPTED = "versions", "adopted.json"
NEEDED = (ADAPTER_CONFIG, "adapter_model.safetensors")
NEEDED_WHOLE = ("config.json", "tokenizer_config.json")
TAKEN = frozenset({".safetensors", ".json"})


def adopt(home: Path, product: Path, *, base: str = "") -> tuple[str, str]:
    """Copy `product`, an adapter or a whole model, to versions/DIGEST under `home`.

    Returns the digest and the folder relative to `home`. `base` is the digest of the model that an adapter was trained
    on, which its configuration is made to name: a server then refuses to put it on another. Doing it again gives the
    same, and the folder that holds the product names whose copy it is. Raises ArtefactRefused for anything but
    safetensors and JSON, and for a whole model its tokenizer's text files.
    """
    adapter = is_adapter(product)
    taken = TAKEN if adapter else ALLOWED_SUFFIXES
    try:
        inspect(product, needs=NEEDED if adapter else NEEDED_WHOLE)
    except OSError as error:
        raise refuse(product.name, "cannot be read", "Check the folder's permissions.") from error
    files = list_files(product)
    for path in files:
        if path.suffix.lower() not in taken:
            raise refuse(path.name, "is not a safetensors or JSON file", "Keep only what the training wrote.")
    root, run = home / VERSIONS, product.parent.name
    # What a kill left of an earlier try of this run goes first.
    for left in root.glob(f".{glob.escape(run)}-*.partial"):
        shutil.rmtree(left, ignore_errors=True)
    hidden = root / f".{run}-{uuid.uuid4().hex}.partial"
    try:
        hidden.mkdir(parents=True)
        for path in files:
            target = hidden / path.relative_to(product)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if base and adapter:
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
        inspect(folder, needs=NEEDED if is_adapter(folder) else NEEDED_WHOLE)
        return "" if digest(folder) == expected else "Its files are not those that were adopted."
    except ArtefactRefused as error:
        return error.message
    except OSError as error:
        return f"Its files cannot be read: {error.strerror}."


def find_damage(home: Path, version: ModelVersion) -> str:
    """What `verify` says of the version's files; an empty text for one whose files are not ours: a remote model."""
    if version.kind == "remote" or not version.path:
        return ""
    return verify(home, version.path, version.digest)


def note_adopted(run: Path, place: Path, made: str) -> None:
    """Keep in a run's folder which copy of what it trained was adopted: what would serve is what is evaluated."""
    write_whole(run / ADOPTED, json.dumps({"folder": str(place), "digest": made}) + "\n")


def find_candidate(run: Path, product: str) -> Path:
    """The folder to judge: the adopted copy, or the run's own `product` where nothing was adopted.

    Raises InvalidInput where it is not there, or the copy is not what was adopted: another model would be judged than
    the one that could serve.
    """
    if not (run / ADOPTED).exists():
        if not (run / product).is_dir():
            raise InvalidInput(f"The run has no {product} to evaluate.", "Finish its training first.")
        return run / product
    told = read_json(run / ADOPTED)
    place = Path(str(told["folder"]))
    if damage := verify(place.parent, place.name, str(told["digest"])):
        raise InvalidInput(f"What was adopted cannot be judged. {damage}", "Propose a new run.")
    return place


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
