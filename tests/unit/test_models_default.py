"""The prepared default chat model: it answers sensibly, batched as alone, and takes a real adapter."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import pytest

from models.adapters import Versions
from models.fingerprint import take_fingerprint
from models.generate import Decoder
from models.load import Base, load_base
from models.protocol import encode
from models.requests import Piece, Request, Sampling

pytestmark = pytest.mark.model
QUESTIONS = ["What is the capital of France?", "Name three fruits.", "What is 2 + 2?", "Say hello in Spanish."]


@pytest.fixture(scope="module")
def base(prepared_models: Path) -> Base:
    # fp32: bf16 rounds differently in another batch shape, so near ties between two tokens may fall otherwise.
    return load_base(prepared_models / "chat", device="cpu", dtype="float32")


def answer(base: Base, versions: Versions, asked: list[tuple[str, str]], tokens: int = 16) -> list[str]:
    texts: list[list[Piece]] = []
    requests = []
    for version, question in asked:
        pieces: list[Piece] = []
        texts.append(pieces)
        prompt = encode(base, [{"role": "user", "content": question}])
        requests.append(Request(version, prompt, Sampling(max_tokens=tokens, temperature=0.0), pieces.append))
    decoder = Decoder(base, versions, time.perf_counter)
    decoder.admit(requests)
    while decoder.step():
        pass
    return ["".join(piece.text for piece in pieces) for pieces in texts]


def test_answers_sensibly_and_batched_as_alone(base: Base) -> None:
    versions = Versions(base)
    alone = [answer(base, versions, [("base", question)])[0] for question in QUESTIONS]
    assert "Paris" in alone[0]
    assert answer(base, versions, [("base", question) for question in QUESTIONS]) == alone


def test_adapter_changes_its_own_rows_alone(base: Base, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fresh = load_base(base.path, device="cpu", dtype="float32").model
        settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        tuned = get_peft_model(fresh, settings)
        source = torch.Generator().manual_seed(2)
        for name, weight in tuned.named_parameters():
            # Both halves, far from the base: a light change may leave a short answer as it is.
            if "lora_" in name:
                scale = 0.5 if "lora_B" in name else weight.shape[1] ** -0.5
                weight.data = torch.randn(weight.shape, generator=source) * scale
        tuned.save_pretrained(str(tmp_path / "adapter"))
    plain = answer(base, Versions(base), [("base", QUESTIONS[0])])
    versions = Versions(base)
    versions.load("shop-v1", tmp_path / "adapter")
    mixed = answer(base, versions, [("base", QUESTIONS[0]), ("shop-v1", QUESTIONS[0])])
    assert mixed[0] == plain[0]
    assert mixed[1] != plain[0]
    digests = set()
    for name in ("base", "shop-v1", "shop-v1"):
        task = take_fingerprint(base, versions, name)
        while True:
            try:
                next(task)
            except StopIteration as done:
                digests.add(done.value.digest)
                break
    assert len(digests) == 2
