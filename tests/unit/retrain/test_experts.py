"""A mixture of experts: the balance loss in closed form, its load in the log, LoRA on it, and the served result."""

from __future__ import annotations

import itertools
import json
import math
import time
from pathlib import Path

import pytest
import torch

from core.errors import InvalidInput
from models.adapters import Versions
from models.generate import Decoder
from models.load import load_base
from models.requests import Request, Sampling
from models.tiny import write_experts, write_model
from retrain.artefacts import adopt
from retrain.training.experts import Router, balance_loss, count_load, describe_load
from retrain.training.policy import quiet
from retrain.training.progress import Progress, read_events
from retrain.training.spec import load_spec, parse_spec
from retrain.training.trainer import DONE, TRAINERS, Job


def test_the_balance_loss_is_top_k_when_even_and_more_when_not():
    even = torch.eye(4, dtype=torch.float64) * 0.01
    assert balance_loss([even], 1).item() == pytest.approx(1.0, abs=1e-4)
    sure = torch.zeros(8, 4, dtype=torch.float64)
    sure[:, 0] = 50.0
    assert balance_loss([sure], 1).item() == pytest.approx(4.0, abs=1e-6)


def test_the_balance_loss_is_the_products_of_shares_and_probabilities():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]])
    p = logits.softmax(-1)
    # Both tokens go to experts 0 and 1.
    expected = 3 * (1.0 * p[:, 0].mean() + 1.0 * p[:, 1].mean())
    assert balance_loss([logits[:1], logits[1:]], 2).item() == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.slow
def test_it_equals_the_loss_that_transformers_computes():
    from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

    layers = tuple(torch.randn(30, 5, generator=torch.Generator().manual_seed(n)) for n in range(3))
    assert balance_loss(layers, 2).item() == pytest.approx(float(load_balancing_loss_func(layers, 5, 2)), rel=1e-5)


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences():
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    # The choice of experts is a step function: where it does not change, the loss is smooth.
    assert torch.autograd.gradcheck(lambda free: balance_loss([free], 2), (logits,), eps=1e-4, atol=1e-3)


def test_load_and_entropy_count_choices_without_padding():
    router = Router(top_k=1)
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]])
    real = torch.tensor([[True, True], [True, False]])
    router.take([logits, logits.flip(1)], real)
    told = router.tell()
    assert told["expert_load"] == [0.5, 0.5]
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)) / math.log(2)
    assert told["router_entropy"] == pytest.approx([entropy, entropy], abs=1e-4)
    assert router.tell() == {}
    assert describe_load(count_load([logits[:2]], 1))["router_entropy"] == [0.0]


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experts(tmp_path_factory.mktemp("experts") / "model")


def train(folder: Path) -> list[dict]:
    job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), lambda: False, time.monotonic)
    assert TRAINERS.get(job.spec.trainer)().train(job) == DONE
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == "step"]


def test_a_mixture_learns_from_pairs_and_says_how_its_experts_are_used(make_run, experts):
    folder = make_run("a", base_model=str(experts), max_steps=16)
    steps = train(folder)
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[-1]["loss"] < 0.5
    for step in steps:
        assert len(step["expert_load"]) == 4 and sum(step["expert_load"]) == pytest.approx(1, abs=1e-3)
        assert len(step["router_entropy"]) == 2 and all(0 <= value <= 1 for value in step["router_entropy"])
    told = json.loads((folder / "adapter" / "adapter_config.json").read_text("utf-8"))
    # Experts and routers are tensors of three axes or no linear layers at all: they stay as they are.
    assert told["target_modules"] == ["k_proj", "o_proj", "q_proj", "v_proj"]


def test_the_router_loss_spreads_tokens_more_evenly(make_run, experts):
    ends = {}
    for weight in (0.0, 5.0):
        folder = make_run(f"w{weight}", base_model=str(experts), max_steps=24, router_aux_weight=weight, lr=2e-2)
        ends[weight] = [sum(step["router_entropy"]) for step in train(folder)[-6:]]
    assert sum(ends[5.0]) > sum(ends[0.0]) + 0.1


def test_what_was_trained_on_a_mixture_is_served_as_peft_computes_it(make_run, experts, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_run("a", base_model=str(experts), max_steps=12, lr=3e-2)
    train(folder)
    base = load_base(experts, device="cpu", dtype="float32")
    versions = Versions(base)
    _, path = adopt(tmp_path, folder / "adapter", base=base.digest)
    versions.load("shop-v1", tmp_path / path)
    ticks = itertools.count()
    decoder = Decoder(base, versions, lambda: float(next(ticks)))
    ids = base.tokenizer("Where is my parcel?", add_special_tokens=False).input_ids
    answers = {}
    for version in ("base", "shop-v1"):
        pieces = []
        decoder.admit([Request(version, ids, Sampling(max_tokens=10, temperature=0.0), pieces.append)])
        while decoder.step():
            pass
        answers[version] = "".join(piece.text for piece in pieces)
    with quiet():
        tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(experts), folder / "adapter")

    def generate() -> str:
        out = tuned.generate(input_ids=torch.tensor([ids]), max_new_tokens=10, do_sample=False)
        return base.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)

    assert answers["shop-v1"] == generate()
    with tuned.disable_adapter():
        assert answers["base"] == generate()
    assert answers["base"] != answers["shop-v1"]


def test_an_adapter_on_experts_is_refused_before_it_trains(make_run, experts):
    targets = {"r": 4, "targets": ["q_proj", "down_proj"]}
    with pytest.raises(InvalidInput, match="on experts cannot be served"):
        train(make_run("a", base_model=str(experts), lora=targets))


def test_a_router_loss_without_routers_is_refused(make_run, tmp_path):
    folder = make_run("a", base_model=str(write_model(tmp_path / "dense")), router_aux_weight=0.01)
    with pytest.raises(InvalidInput, match="no mixture of experts"):
        train(folder)
    with pytest.raises(InvalidInput, match="drdpo takes no router_aux_weight"):
        parse_spec({"base_model": "x", "max_steps": 1, "loss": "drdpo", "router_aux_weight": 0.1})
