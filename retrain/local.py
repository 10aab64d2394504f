"""What children do without a console or a store: a training run from a spec file, the chat model asked of labels."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from core.errors import Conflict, InvalidInput, Unavailable
from core.events import digest
from core.settings import Settings
from core.types import PreferencePair
from gateway.imports import read_pairs as gateway_pairs
from models.prepare import read_manifest
from retrain import remedies, shared, sides
from retrain.adaptation import FOLDER as ADAPTED
from retrain.child import Tail
from retrain.ending import FULL_DISK, is_full
from retrain.pairs import margins
from retrain.pairs.drawing import write_text
from retrain.prospects import Embed, foresee
from retrain.training.loop import WITHOUT_EFFECT
from retrain.training.spec import RESULTS, PairText, RunSpec, dump_spec, load_spec, parse_spec, read_pairs
from retrain.training.texts import read_texts
from retrain.training.thumbs import read_thumbs
from retrain.training.trainer import STOPPED

POLL_SECONDS = 0.2
_TRIES = 25
HELD_OUT = "held_out.jsonl"
_PLACES = ("pairs", "thumbs", "texts", "held_out", "output")
# What each trainer learns from: the spec's key for the file, and what refuses a bad one by its line.
_SOURCES = {"dpo": ("pairs", read_pairs), "kto": ("thumbs", read_thumbs), "adapt": ("texts", read_texts)}

Report = Callable[[Mapping[str, Any]], None]


def train(
    spec_path: Path,
    *,
    base: str = "",
    encoder: str = "",
    output: Path | None = None,
    progress: Report = lambda event: None,
) -> dict[str, Any]:
    """Run the training that `spec_path` (TOML or JSON) describes and return what it gave.

    The spec names `pairs` (JSONL, also .gz), for the trainer kto `thumbs`, for adapt `texts`; it may name `held_out`
    pairs (otherwise a quarter of the prompts of `pairs` is held out), `output` and any setting of a run; `base` is the
    model folder when it names none, `encoder` the folder of what embeds prompts, to tell the gain by topic. `progress`
    hears warnings, then each event of the child. Started again on the same folder it goes on from its checkpoint.
    Returns {"folder", "adapter" or "model", "evaluation" (or None), "stopped", "warnings"}. Raises InvalidInput, also
    where another spec was trained in the folder, Conflict while another process trains there, and Unavailable when the
    child failed.
    """
    told = read_spec(spec_path)
    folder = (output or _place(spec_path, told, "output") or spec_path.with_suffix("")).expanduser().absolute()
    held_out, warnings = _prepare(spec_path, {"encoder": encoder or None, **told}, base, folder)
    for warning in warnings:
        progress({"event": "warning", "message": warning})
    code = _run("retrain.train", folder, progress)
    if code == 0 and held_out:
        code = _run("retrain.evaluate", folder, progress)
    evaluation, product = folder / "evaluation.json", load_spec(folder).product
    return {
        "folder": str(folder),
        product: str(folder / product) if code == 0 else "",
        "evaluation": json.loads(evaluation.read_text("utf-8")) if code == 0 and evaluation.exists() else None,
        "stopped": code == STOPPED,
        "warnings": warnings,
    }


def forecast(spec_path: Path, *, base: str = "", output: Path | None = None) -> dict[str, Any]:
    """What the run would take on this machine, timed by a few steps of it, and its `warnings`. Raises as `train`."""
    told = read_spec(spec_path)
    folder = (output or _place(spec_path, told, "output") or spec_path.with_suffix("")).expanduser().absolute()
    _, warnings = _prepare(spec_path, told, base, folder)
    return {**_forecast("retrain.train", folder), "warnings": warnings}


def ask_model(
    pairs: Sequence[PreferencePair], settings: Settings, *, threads: int, seed: int, tell: Report, progress: Report
) -> margins.Known | None:
    """What the chat model says of the labels of `pairs`, by its margins and those of fits; None when it was stopped.

    `tell` hears first what it will take (retrain.crossfit.forecast), `progress` each event of the child. Answers, and
    what was finished of one that was stopped, are kept under the digest of what is asked; `tell` hears nothing then.
    """
    spec = margins.compose(settings, threads=threads, seed=seed)
    model, most = read_manifest(settings.chat_path), settings.retrain.customs_pairs
    asked = digest([margins.keys(pairs), asdict(spec), model, most])
    folder = settings.home / "cache" / "customs" / asked[:32]
    inner = folder / margins.FOLDER
    if not (inner / margins.TASK).exists() and not margins.ask(inner, pairs, spec, most=most, folds=True, seed=seed):
        return {}
    if not (inner / margins.ANSWER).exists():
        tell(_forecast("retrain.crossfit", folder))
        if _run("retrain.crossfit", folder, progress, remedies.in_settings) == STOPPED:
            return None
    return margins.close(inner)


def outlook(
    spec_path: Path, embed: Embed, *, report: Callable[[float], None] = lambda share: None
) -> dict[str, Any] | None:
    """Whether the run will help, as `prospects.foresee` tells it; None for a trainer that learns from no pairs.

    `embed` gives unit vectors of texts. Raises InvalidInput that names a bad line of the pairs.
    """
    told = read_spec(spec_path)
    name, _ = _source(told)
    source = _place(spec_path, told, name)
    if name != "pairs" or source is None:
        return None
    found, wrong = gateway_pairs(source, {})
    if wrong is not None:
        raise wrong
    return foresee(found, embed, report=report)


def read_spec(path: Path) -> dict[str, Any]:
    """The settings in a TOML or JSON file. Raises InvalidInput."""
    try:
        text = path.read_text("utf-8")
        told = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", "Name a spec file.") from None
    except ValueError as error:
        raise InvalidInput(f"{path.name} is not {path.suffix.lstrip('.') or 'TOML'}: {error}.", "Mend it.") from None
    name, _ = _source(told) if isinstance(told, dict) else ("pairs", None)
    if not isinstance(told, dict) or not told.get(name):
        raise InvalidInput(f"{path.name} names no {name}.", f'Add a line like {name} = "{name}.jsonl".')
    return told


def _source(told: Mapping[str, Any]) -> tuple[str, Callable[[Path], Any]]:
    return _SOURCES.get(str(told.get("trainer", "dpo")), _SOURCES["dpo"])


def _prepare(spec_path: Path, told: Mapping[str, Any], base: str, folder: Path) -> tuple[bool, list[str]]:
    """Fill the run's folder with what the spec says now; returns whether there are held-out pairs, and warnings.

    What was trained there by another spec or other pairs is not taken for its result: raises InvalidInput. A checkpoint
    is refused by the trainer, which knows what its weights depend on.
    """
    name, read = _source(told)
    source, held = _place(spec_path, told, name), _place(spec_path, told, "held_out")
    assert source is not None
    rows = sides.read_rows(source, read)
    held_side: list[PairText] = sides.read_rows(held, read_pairs) if held is not None else []
    if name == "pairs" and held is None:
        rows, held_side = sides.split(rows)
    known = shared.find_shared(rows, held_side) if held is not None else None
    rest = {name: value for name, value in told.items() if name not in _PLACES}
    rest.setdefault("base_model", base)
    for start in ("init_adapter", "init_model"):
        if (begun := _place(spec_path, told, start)) is not None:
            rest[start] = str(begun.absolute())
    if "epochs" not in rest and "max_steps" not in rest:
        rest["epochs"] = 1.0
    file = "train.jsonl" if name == "pairs" else f"{name}.jsonl"
    spec = parse_spec({**rest, name: file, "held_out": HELD_OUT if held_side else None})
    learnt = {file: _lines(rows)}
    if spec.adapt_steps:
        if (texts := _place(spec_path, told, "texts")) is None:
            raise InvalidInput(
                f"{spec_path.name} names no texts to adapt to.", 'Add a line like texts = "texts.jsonl".'
            )
        learnt[spec.texts] = _lines(sides.read_rows(texts, read_texts))
    if _has_trained(folder) and not _is_told(folder, spec, learnt):
        raise InvalidInput(
            f"What {folder} holds was trained by another spec or other pairs.", "Name another output, or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    judged = {HELD_OUT: _lines(held_side)} if held_side else {}
    with _own(folder):
        for file, text in {**learnt, **judged, "spec.json": dump_spec(spec)}.items():
            write_text(folder, file, text)
        shared.note_shared(folder, known)
    return bool(held_side), [known["warning"]] if known else []


def _has_trained(folder: Path) -> bool:
    """Whether a trainer has ended here, be it the first of two."""
    return any((place / result).exists() for place in (folder, folder / ADAPTED) for result in RESULTS.values())


def _is_told(folder: Path, spec: RunSpec, learnt: Mapping[str, str]) -> bool:
    """Whether the run in `folder` was told the same, but for what does not change its weights."""
    same = all((folder / name).exists() and (folder / name).read_text("utf-8") == text for name, text in learnt.items())
    return same and _weighty(load_spec(folder)) == _weighty(spec)


def _weighty(spec: RunSpec) -> dict[str, Any]:
    return {name: value for name, value in asdict(spec).items() if name not in WITHOUT_EFFECT}


def _run(module: str, folder: Path, progress: Report, say: Callable[[str], str] = str) -> int:
    """The exit code of the child, which was stopped or is done. Raises for any other, in the words that `say` makes."""
    tail = Tail(folder / "progress.jsonl")
    tail.read()
    errors: list[str] = []

    def hear(event: Mapping[str, Any]) -> None:
        if event.get("event") == "error":
            errors.append(str(event.get("message", "")))
        progress(event)

    with _own(folder) as log:
        child = subprocess.Popen([sys.executable, "-m", module, str(folder)], stdout=log, stderr=log)
        try:
            while child.poll() is None:
                _tell(tail, hear)
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            child.terminate()  # it keeps a checkpoint and ends
            child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    _tell(tail, hear)
    if child.returncode not in (0, STOPPED):
        raise _failed(folder, say(errors[-1] if errors else ""), child.returncode)
    return child.returncode


@contextmanager
def _own(folder: Path) -> Iterator[IO[bytes]]:
    """The folder's log, by which it is held as long as this process or a child has that open. Raises Conflict.

    What a child started may have it a moment longer than the child.
    """
    with (folder / "log.txt").open("ab") as log:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise Conflict(f"Another process is at work in {folder}.", "Wait until it has ended.") from None
                time.sleep(POLL_SECONDS)
        yield log


def _forecast(module: str, folder: Path) -> dict[str, Any]:
    argv = [sys.executable, "-m", module, str(folder), "--forecast"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _failed(folder, done.stderr, done.returncode)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _tell(tail: Tail, progress: Report) -> None:
    for _, event in tail.read():
        progress(event)


def _failed(folder: Path, words: str, code: int) -> InvalidInput | Unavailable:
    """What to raise for a child that ended with `code`; the last line of its `words` says why, if any does."""
    message = (words.strip().splitlines() or [FULL_DISK if is_full(folder) else "The trainer ended early."])[-1]
    if code == InvalidInput.exit_code:
        return InvalidInput(message)
    return Unavailable(message, f"Look at {folder / 'log.txt'}; started again it goes on from its checkpoint.")


def _place(spec_path: Path, told: Mapping[str, Any], name: str) -> Path | None:
    """A path in the spec is relative to the spec's own folder."""
    value = told.get(name)
    return spec_path.parent / Path(str(value)).expanduser() if value else None


def _lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows)
