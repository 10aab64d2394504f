"""Hostile model folders are refused by one plain sentence before any loader reads them."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput, TrimtabError
from models.artefacts import MANIFEST, ArtefactRefused, digest, inspect, read_header
from models.load import load_base
from models.tiny import write_model


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("good"))


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


def put(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return spoil


def edit(name: str, **entries: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | entries))

    return spoil


def link(name: str, target: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return spoil


def header(text: bytes, rest: bytes = b"") -> Callable[[Path], None]:
    return put("model.safetensors", struct.pack("<Q", len(text)) + text + rest)


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> bytes:
    return json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}).encode()


HOSTILE: dict[str, Callable[[Path], None]] = {
    **{
        f"pickle {name}": put(name, b"\x80\x04cos\nsystem\n.")
        for name in (
            "pytorch_model.bin", "model.pt", "weights.pth", "a.pkl", "a.pickle", "last.ckpt", "a.joblib",
            "a.npy", "a.npz", "tf_model.h5", "a.keras", "training_args.bin", "deep/optimizer.pt", "MODEL.BIN",
        )
    },
    **{
        f"code {name}": put(name, b"import os")
        for name in ("modeling_x.py", "configuration_x.py", "a.pyc", "kernel.so", "a.dll", "a.dylib", "deep/x.py")
    },
    **{
        f"{key} in {name}": edit(name, **{key: value})
        for name in ("config.json", "tokenizer_config.json", "generation_config.json")
        for key, value in (
            ("auto_map", {"AutoModelForCausalLM": "modeling_x.X"}),
            ("auto_map", {"AutoTokenizer": ["someone/repo--tok.X", None]}),
            ("custom_pipelines", {"x": {"impl": "x.X"}}),
            ("custom_generate", "someone/repo"),
            ("trust_remote_code", True),
            ("attn_implementation", "someone/kernel"),
            ("_attn_implementation", "someone/kernel:run"),
            ("_attn_implementation_internal", "someone/kernel"),
            ("experts_implementation", "someone/kernel"),
        )
    },
    "auto_map below": edit("config.json", text_config={"vision": [{"auto_map": {"AutoConfig": "x.X"}}]}),
    "kernel below": edit("config.json", text_config={"_attn_implementation": {"": "someone/kernel"}}),
    "extra json with auto_map": put("processor_config.json", b'{"auto_map": {"AutoProcessor": "x.X"}}'),
    "link to weights": link("model.safetensors", "/etc/hostname"),
    "link to config": link("config.json", "../elsewhere.json"),
    "link to folder": link("more", "/tmp"),
    "dangling link": link("vocab.txt", "nowhere"),
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "config gone": lambda folder: (folder / "config.json").unlink(),
    "config a list": put("config.json", b"[]"),
    "config no json": put("config.json", b"{"),
    "config not utf-8": put("config.json", b"\xff\xfe{"),
    "config deeply nested": put("config.json", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "index up": put("model.safetensors.index.json", b'{"weight_map": {"a": "../model.safetensors"}}'),
    "index absolute": put("model.safetensors.index.json", b'{"weight_map": {"a": "/etc/passwd"}}'),
    "index to a pickle": put("model.safetensors.index.json", b'{"weight_map": {"a": "pytorch_model.bin"}}'),
    "index without a map": put("model.safetensors.index.json", b'{"weight_map": 3}'),
    "index of numbers": put("model.safetensors.index.json", b'{"weight_map": {"a": 3}}'),
    "weights empty": put("model.safetensors", b""),
    "weights short": put("model.safetensors", b"\x10\0\0"),
    "weights a pickle": put("model.safetensors", b"\x80\x04cos\nsystem\n." * 10),
    "weights a zip": put("model.safetensors", b"PK\x03\x04" + b"\0" * 200),
    "header too long": put("model.safetensors", struct.pack("<Q", 2**63) + b"{}"),
    "header no json": header(b"{nope}"),
    "header a list": header(b"[1]"),
    "header of numbers": header(b'{"x": 3}'),
    "header nested": header(b"[" * 100_000),
    "negative offsets": header(tensor("F32", [1], -4, 0)),
    "offsets past the end": header(tensor("F32", [4], 0, 16), b"\0" * 4),
    "offsets swapped": header(tensor("F32", [1], 4, 0), b"\0" * 4),
    "gap before": header(tensor("F32", [1], 4, 8), b"\0" * 8),
    "trailing bytes": header(tensor("F32", [1], 0, 4), b"\0" * 4 + b"MZ hidden"),
    "shape and bytes differ": header(tensor("F32", [1000, 1000], 0, 4), b"\0" * 4),
    "shape overflows": header(tensor("F32", [2**40, 2**40], 0, 4), b"\0" * 4),
    "shape negative": header(tensor("F32", [-1, -1], 0, 4), b"\0" * 4),
    "unknown dtype": header(tensor("OBJECT", [1], 0, 4), b"\0" * 4),
    "template too large": put("chat_template.jinja", b" " * (1024 * 1024 + 1)),
    "overlapping tensors": header(
        json.dumps(
            {
                "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
                "y": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
            }
        ).encode(),
        b"\0" * 8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_folder_is_refused(folder: Path, name: str) -> None:
    HOSTILE[name](folder)
    with pytest.raises(ArtefactRefused) as refused:
        inspect(folder)
    assert refused.value.remedy
    assert "\n" not in str(refused.value)
    with pytest.raises(TrimtabError):
        load_base(folder, device="cpu", dtype="float32")


def test_good_folder_passes_and_loads(folder: Path) -> None:
    names = {path.name for path in inspect(folder)}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    base = load_base(folder, device="cpu", dtype="float32")
    assert base.context == 2048
    assert base.end_ids == (base.tokenizer.eos_token_id,)
    assert not base.model.training


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (edit("config.json", model_type="nobody-knows"), "cannot be loaded"),
        (edit("config.json", model_type="bert"), "cannot be loaded"),
        (edit("config.json", hidden_size="wide"), "cannot be loaded"),
        (edit("config.json", hidden_size=64), "cannot be loaded"),
        (edit("config.json", layer_types=["linear_attention"] * 2), "linear_attention"),
        (put("tokenizer.json", b"{}"), "cannot be loaded"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "chat template"),
    ],
)
def test_folder_that_is_no_chat_model_says_so(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    with pytest.raises(TrimtabError, match=said) as refused:
        load_base(folder, device="cpu", dtype="float32")
    assert "\n" not in str(refused.value)


def test_missing_folder_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        load_base(tmp_path / "nothing")


def test_digest_follows_content_and_names_alone(folder: Path, tmp_path: Path) -> None:
    first = digest(folder)
    assert digest(Path(shutil.copytree(folder, tmp_path / "copy"))) == first
    (folder / MANIFEST).write_text("{}")
    assert digest(folder) == first
    (folder / "config.json").rename(folder / "config2.json")
    assert digest(folder) != first
    (folder / "config2.json").rename(folder / "config.json")
    (folder / "config.json").write_text((folder / "config.json").read_text() + " ")
    assert digest(folder) != first


def test_header_gives_names_dtypes_and_shapes(folder: Path) -> None:
    shapes = read_header(folder / "model.safetensors")
    assert shapes["model.layers.0.self_attn.q_proj.weight"] == ("F32", (32, 32))
