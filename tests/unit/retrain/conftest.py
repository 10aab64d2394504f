"""A random Llama of two layers with a tokenizer of single characters, saved as a real model folder, and runs on it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!\n"


def build_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import Fuse
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<|pad|>", "<|im_start|>", "<|im_end|>", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|pad|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        eos_token="<|im_end|>",
        bos_token="<|im_start|>",
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def build_model(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Save a tiny random Llama with grouped key heads into `folder` and return it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer()
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        # Larger than usual, so that a wrong mask or position shows in the log-probabilities.
        "initializer_range": 0.2,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**(shape | changes)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs, two a prompt; the preferred answer is in capitals, so that there is something to learn."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    prompt = ""
    for number in range(count):
        if number % 2 == 0:
            prompt = "".join(draw.choices("abcdef ", k=6)) + f"{number}?"
        chosen = "".join(draw.choices("ABC", k=draw.randint(2, 9)))
        rejected = "".join(draw.choices("abc", k=draw.randint(2, 9)))
        rows.append({"id": f"p{number}", "prompt": prompt, "chosen": chosen, "rejected": rejected})
    return rows


def write_run(folder: Path, base: Path, **spec: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", make_pairs(12)), ("held_out", make_pairs(80, seed=1))):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    usual = {"base_model": str(base), "max_steps": 4, "lr": 1e-2, "device": "cpu", "precision": "fp32", "threads": 1}
    usual["lora"] = {"r": 4, "alpha": 8}
    (folder / "spec.json").write_text(json.dumps(usual | spec), "utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model; tests only read it."""
    return build_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """`build_model(folder, **changes of its configuration)`."""
    return build_model


@pytest.fixture
def make_run(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """`make_run(name, **spec)`: the folder of a run with 12 training and 80 held-out pairs."""
    return lambda name, **spec: write_run(tmp_path / name, tiny_model, **spec)


@pytest.fixture
def start_child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start_child(module, *arguments)`: `python -m module` with its output kept; ended with the test."""
    children: list[subprocess.Popen[str]] = []

    def start(module: str, *arguments: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        pipe = subprocess.PIPE
        children.append(subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        with child:  # waits, and closes the pipes
            pass
