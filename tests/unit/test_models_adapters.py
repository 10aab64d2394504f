"""Adapters: they add exactly what PEFT adds, never touch the base, and hostile folders are refused unread."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict, InvalidInput, NotFound
from models.adapters import CONFIG, WEIGHTS, Versions
from models.artefacts import ArtefactRefused
from models.load import Base, load_base
from models.tiny import write_adapter, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(folder: Path) -> Base:
    return load_base(folder, device="cpu", dtype="float32")


def logits(base: Base) -> Any:
    import torch

    with torch.inference_mode():
        return base.model(input_ids=torch.arange(1, 40).reshape(3, 13)).logits


def test_adds_what_peft_adds(base: Base, folder: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    adapter = write_adapter(tmp_path / "a", folder, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = PeftModel.from_pretrained(load_base(folder, device="cpu", dtype="float32").model, str(adapter))
        with torch.inference_mode():
            expected = peft(input_ids=torch.arange(1, 40).reshape(3, 13)).logits
    plain = logits(base)
    versions = Versions(base)
    versions.load("a-v1", adapter)
    versions.route(["a-v1"] * 3)
    assert torch.allclose(logits(base), expected, atol=1e-5)
    assert not torch.allclose(plain, expected, atol=1e-2)


@pytest.mark.parametrize("setting", [{"use_rslora": True}, {"rank_pattern": {}}, {"alpha_pattern": {"q_proj": 1}}])
def test_scales_as_peft_scales(base: Base, folder: Path, tmp_path: Path, setting: dict[str, Any]) -> None:
    import torch
    from peft import PeftModel

    adapter = write_adapter(tmp_path / "a", folder, seed=5)
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(config | setting))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft = PeftModel.from_pretrained(load_base(folder, device="cpu", dtype="float32").model, str(adapter))
        with torch.inference_mode():
            expected = peft(input_ids=torch.arange(1, 40).reshape(3, 13)).logits
    versions = Versions(base)
    versions.load("a-v1", adapter)
    versions.route(["a-v1"] * 3)
    assert torch.allclose(logits(base), expected, atol=1e-5)


def test_config_that_peft_writes_is_taken(base: Base, folder: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.05)
        tuned = get_peft_model(load_base(folder, device="cpu", dtype="float32").model, config)
        tuned.save_pretrained(str(tmp_path / "saved"))
    versions = Versions(base)
    assert len(versions.load("saved-v1", tmp_path / "saved").shapes) == 14


def test_base_rows_are_bit_for_bit_the_base(base: Base, folder: Path, tmp_path: Path) -> None:
    import torch

    plain = logits(base)
    versions = Versions(base)
    versions.load("a-v1", write_adapter(tmp_path / "a", folder, seed=5))
    versions.load("b-v1", write_adapter(tmp_path / "b", folder, seed=6))
    versions.route(["a-v1", "base", "b-v1"])
    mixed = logits(base)
    assert torch.equal(mixed[1], plain[1])
    versions.route(["b-v1", "base", "a-v1"])
    swapped = logits(base)
    assert torch.equal(swapped[1], plain[1])
    assert not torch.allclose(mixed[0], swapped[0], atol=1e-3)
    versions.route(["base"] * 3)
    assert torch.equal(logits(base), plain)
    assert versions.unload("a-v1")
    assert not versions.unload("a-v1")
    versions.route(["a-v1"] * 3)
    assert torch.equal(logits(base), plain)


def test_a_name_keeps_its_content(base: Base, folder: Path, tmp_path: Path) -> None:
    versions = Versions(base)
    first = versions.load("a-v1", write_adapter(tmp_path / "a", folder, seed=5))
    assert versions.load("a-v1", tmp_path / "a") is first
    assert versions.load("a-v1", write_adapter(tmp_path / "copy", folder, seed=5)).digest == first.digest
    with pytest.raises(Conflict, match="other content"):
        versions.load("a-v1", write_adapter(tmp_path / "b", folder, seed=6))
    assert versions.names() == ["a-v1"]
    with pytest.raises(NotFound, match="not loaded"):
        versions.require("a-v2")
    for name in ("base", "", "../x", "a b", "x" * 200):
        with pytest.raises(InvalidInput):
            versions.load(name, tmp_path / "a")


def change(adapter: Path, **settings: Any) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps(config | settings))


HOSTILE_SETTINGS: list[dict[str, Any]] = [
    {"auto_mapping": {"base_model_class": "X", "parent_library": "os"}},
    {"auto_map": {"AutoModel": "modeling.X"}},
    {"megatron_config": {"tensor_model_parallel_size": 1}, "megatron_core": "evil"},
    {"base_model_name_or_path": "someone/other-model"},
    {"peft_type": "PROMPT_TUNING"},
    {"use_dora": True},
    {"bias": "all"},
    {"modules_to_save": ["lm_head"]},
    {"init_lora_weights": "pissa"},
    {"layer_replication": [[0, 1]]},
    {"target_parameters": ["experts"]},
    {"something_new": "code"},
    {"r": 0},
    {"r": -4},
    {"r": 8},
    {"r": "4"},
    {"r": True},
    {"r": 1e308},
    {"lora_alpha": None},
    {"lora_alpha": float("nan")},
    {"lora_alpha": float("inf")},
    {"rank_pattern": [1]},
    {"rank_pattern": {"q_proj": 100000}},
    {"alpha_pattern": {"q_proj": "x"}},
]


@pytest.mark.parametrize("settings", HOSTILE_SETTINGS, ids=lambda s: json.dumps(s)[:40])
def test_hostile_settings_are_refused(base: Base, folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    change(adapter, **settings)
    versions = Versions(base)
    with pytest.raises(ArtefactRefused):
        versions.load("a-v1", adapter)
    assert versions.names() == []


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "x.pkl", "run.py", "lib.so", "x.npy", "weights"])
def test_anything_but_safetensors_and_json_is_refused(base: Base, folder: Path, tmp_path: Path, name: str) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    (adapter / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ArtefactRefused, match=name):
        Versions(base).load("a-v1", adapter)


def test_pickle_named_safetensors_is_refused(base: Base, folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    (adapter / WEIGHTS).write_bytes(b"\x80\x04\x95" + b"x" * 100)
    with pytest.raises(ArtefactRefused, match="safetensors"):
        Versions(base).load("a-v1", adapter)


def test_links_and_missing_files_are_refused(base: Base, folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    outside = tmp_path / "outside"
    (adapter / WEIGHTS).rename(outside)
    with pytest.raises(ArtefactRefused, match=f"no {WEIGHTS}"):
        Versions(base).load("a-v1", adapter)
    (adapter / WEIGHTS).symlink_to(outside)
    with pytest.raises(ArtefactRefused, match="link"):
        Versions(base).load("a-v1", adapter)
    with pytest.raises(InvalidInput, match="does not exist"):
        Versions(base).load("a-v1", tmp_path / "nowhere")


def save(path: Path, tensors: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(tensors, path)


def test_odd_tensors_are_refused(base: Base, folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    adapter = write_adapter(tmp_path / "a", folder)
    good = load_file(adapter / WEIGHTS)
    some = next(name for name in good if ".lora_A." in name)
    cases = [
        {"lm_head.weight": torch.zeros(4, 4)},
        good | {some.replace("q_proj", "nothing").replace("up_proj", "nothing"): torch.zeros(4, 32)},
        good | {some: torch.zeros(4, 31)},
        good | {some: torch.zeros(4, 32, dtype=torch.int64)},
        good | {some: torch.full((4, 32), float("nan"))},
        {name: value for name, value in good.items() if name != some},
        {name.replace("self_attn.q_proj", "input_layernorm"): value for name, value in good.items()},
    ]
    for tensors in cases:
        save(adapter / WEIGHTS, tensors)
        versions = Versions(base)
        with pytest.raises(ArtefactRefused):
            versions.load("a-v1", adapter)
        assert versions.names() == []


def test_oversized_adapter_is_refused_without_reading_it(base: Base, folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    with (adapter / WEIGHTS).open("r+b") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(ArtefactRefused, match="larger"):
        Versions(base).load("a-v1", adapter)


def test_header_longer_than_the_file_is_refused(base: Base, folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    raw = (adapter / WEIGHTS).read_bytes()
    (adapter / WEIGHTS).write_bytes(struct.pack("<Q", 1 << 62) + raw[8:])
    with pytest.raises(ArtefactRefused):
        Versions(base).load("a-v1", adapter)


def test_adapter_of_a_moved_installation_is_taken(base: Base, folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", folder)
    change(adapter, base_model_name_or_path="/an/earlier/place/models/chat")
    assert Versions(base).load("a-v1", adapter).shapes
