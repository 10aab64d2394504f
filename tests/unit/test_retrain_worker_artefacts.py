"""Adopting an adapter: content-addressed, whole or not at all, and nothing but safetensors and JSON."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from models.artefacts import ArtefactRefused
from models.artefacts import digest as folder_digest
from retrain import artefacts, stages


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
    return folder


def test_an_adapter_is_adopted_once_under_its_digest(adapter: Path, tmp_path: Path) -> None:
    digest, path = artefacts.adopt(tmp_path, adapter, base="b" * 64)
    assert artefacts.adopt(tmp_path, adapter, base="b" * 64) == (digest, path)
    assert path == f"versions/{digest}"
    assert json.loads((tmp_path / path / "adapter_config.json").read_text())["base_model_name_or_path"] == "b" * 64
    assert artefacts.verify(tmp_path, path, digest) == ""
    assert [folder.name for folder in (tmp_path / "versions").iterdir()] == [digest]
    assert artefacts.adopt(tmp_path, adapter, base="c" * 64)[0] != digest


def test_a_whole_model_is_adopted_with_its_tokenizer_and_as_it_is(adapter: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    for name in ("config.json", "tokenizer_config.json", "chat_template.jinja", "merges.txt"):
        (model / name).write_text("{}")
    digest, path = artefacts.adopt(tmp_path, model, base="b" * 64)
    assert digest == folder_digest(model)
    assert artefacts.verify(tmp_path, path, digest) == ""
    (model / "README.md").write_text("hello")
    with pytest.raises(ArtefactRefused, match="README"):
        artefacts.adopt(tmp_path, model)
    (model / "README.md").unlink()
    (model / "tokenizer_config.json").unlink()
    with pytest.raises(ArtefactRefused, match="tokenizer_config"):
        artefacts.adopt(tmp_path, model)


def write_pickle(folder: Path) -> None:
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({"w": 1}))


def rename_pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(pickle.dumps({"w": 1}))


def write_code(folder: Path) -> None:
    (folder / "modeling.py").write_text("print('run')")


def name_code(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Model"}}))


def write_text(folder: Path) -> None:
    (folder / "notes.txt").write_text("hello")


def link_out(folder: Path) -> None:
    (folder / "more.json").symlink_to("/etc/hostname")


def remove_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize(
    "spoil",
    [write_pickle, rename_pickle, write_code, name_code, write_text, link_out, remove_weights, cut_weights],
    ids=lambda spoil: spoil.__name__,
)
def test_anything_else_is_refused_in_one_sentence(adapter: Path, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(adapter)
    with pytest.raises(ArtefactRefused) as caught:
        artefacts.adopt(tmp_path, adapter)
    assert caught.value.message.count(". ") == 0
    assert caught.value.remedy
    assert not list((tmp_path / "versions").glob("*"))


def test_a_changed_adopted_folder_is_noticed(adapter: Path, tmp_path: Path) -> None:
    digest, path = artefacts.adopt(tmp_path, adapter)
    weights = tmp_path / path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert artefacts.verify(tmp_path, path, digest) == "Its files are not those that were adopted."
    with pytest.raises(ArtefactRefused, match="was changed after it was adopted"):
        artefacts.adopt(tmp_path, adapter)
    weights.unlink()
    assert artefacts.verify(tmp_path, path, digest) != ""


def test_what_a_kill_left_of_a_copy_goes_with_the_next_try(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path / "versions" / ".another-run-1.partial"
    others.mkdir(parents=True)
    with monkeypatch.context() as killed:
        killed.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr("retrain.artefacts.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            artefacts.adopt(tmp_path, adapter)
    assert len(list((tmp_path / "versions").iterdir())) == 2
    digest, _ = artefacts.adopt(tmp_path, adapter)
    assert {folder.name for folder in (tmp_path / "versions").iterdir()} == {digest, others.name}


def test_a_comparison_of_an_earlier_release_is_made_again(tmp_path: Path) -> None:
    result = tmp_path / "comparison.json"
    assert not stages.is_whole(result)
    for told, whole in (({"rates": {}, "length": {}}, False), ({"rates": {}, "length": {}, "latency": {}}, True)):
        result.write_text(json.dumps(told))
        assert stages.is_whole(result) == whole
