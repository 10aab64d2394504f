"""The load of a served mixture of experts: every token of every answer is counted once, where its router sent it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from models.adapters import Versions
from models.experts import WINDOW, Experts, find_experts
from models.generate import Decoder
from models.load import Base, load_base
from models.requests import Request, Sampling
from models.tiny import write_experts, write_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(write_experts(tmp_path_factory.mktemp("experts")), device="cpu", dtype="float32")


def answer(base: Base, prompts: list[str], tokens: int = 9) -> tuple[Decoder, list[Request]]:
    ticks = itertools.count()
    decoder = Decoder(base, Versions(base), lambda: float(next(ticks)))
    asked = [
        Request(
            "base",
            base.tokenizer(prompt, add_special_tokens=False).input_ids,
            Sampling(max_tokens=tokens, temperature=0.0),
            lambda piece: None,
        )
        for prompt in prompts
    ]
    decoder.admit(asked)
    while decoder.step():
        pass
    return decoder, asked


def recomputed(base: Base, request: Request) -> torch.Tensor:
    """[layers, experts] from one pass over the prompt and the answer but for its last token, which nothing read."""
    ids = torch.tensor([[*request.prompt, *request.ids[:-1]]])
    with torch.inference_mode():
        logits = base.model.model(input_ids=ids, output_router_logits=True).router_logits
    return torch.stack([layer.topk(2, -1).indices.flatten().bincount(minlength=4) for layer in logits])


def test_answers_of_unlike_length_in_one_batch_count_as_each_alone(base: Base) -> None:
    prompts = ["Hello", "Where is my parcel, and why is it late?", "x"]
    decoder, asked = answer(base, prompts)
    assert decoder.experts is not None
    loads = [recomputed(base, request) for request in asked]
    told = decoder.experts.tell("base")
    assert told is not None and (told.answers, told.chosen) == (3, 2)
    sizes = [len(request.prompt) + len(request.ids) - 1 for request in asked]
    assert (told.tokens, told.squared_tokens) == (sum(sizes), sum(size**2 for size in sizes))
    assert torch.equal(torch.tensor(told.counts), sum(loads))
    assert torch.equal(torch.tensor(told.squares), sum(load**2 for load in loads))
    assert torch.equal(torch.tensor(told.products), sum(load * n for load, n in zip(loads, sizes, strict=True)))
    other = decoder.experts.tell("shop-v1")
    assert other is not None and other.answers == 0


def test_a_cancelled_answer_and_the_oldest_ones_are_not_told(base: Base) -> None:
    decoder, _ = answer(base, ["Hello"])
    request = Request("base", [1, 2, 3], Sampling(max_tokens=9, temperature=0.0), lambda piece: None)
    decoder.admit([request])
    decoder.step()
    request.cancel()
    while decoder.step():
        pass
    assert decoder.experts is not None
    told = decoder.experts.tell("base")
    assert told is not None and told.answers == 1
    for _ in range(WINDOW + 5):
        decoder.experts.keep("base", torch.ones(2, 4, dtype=torch.int32))
    told = decoder.experts.tell("base")
    assert told is not None and (told.answers, told.tokens) == (WINDOW, 2 * WINDOW)


def test_a_model_without_experts_and_routers_of_another_kind_report_nothing(tmp_path: Path) -> None:
    dense = load_base(write_model(tmp_path / "dense"), device="cpu", dtype="float32")
    decoder, asked = answer(dense, ["Hello"])
    assert decoder.experts is None and find_experts(dense.model) is None and asked[0].ids
    odd = torch.nn.Linear(3, 4)
    experts = Experts([odd])
    experts.listen()
    odd(torch.ones(2, 3))
    assert experts.count(torch.ones(2, 1)) is None and experts.tell("base") is None
