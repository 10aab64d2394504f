"""How far a policy has moved from its reference: nothing at first, then what two whole models say it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from retrain.training.batches import make_micros
from retrain.training.divergence import EVERY, measure_kl
from retrain.training.encoding import encode_pairs
from retrain.training.policy import Policy, quiet, start_policy
from retrain.training.product import gather_state, save_product
from retrain.training.progress import Progress, read_events
from retrain.training.spec import RunSpec, load_spec, read_pairs
from retrain.training.trainer import DONE, TRAINERS, Job

pytestmark = pytest.mark.slow


def run(folder: Path) -> dict[int, float]:
    """Train the run; returns the divergence by step."""
    job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), lambda: False, time.monotonic)
    assert TRAINERS.get("dpo")().train(job) == DONE
    return {event["step"]: event["kl"] for event in read_events(folder / "progress.jsonl") if "kl" in event}


def look(policy: Policy, spec: RunSpec, folder: Path) -> dict[str, float]:
    pairs, _ = encode_pairs(policy.tokenizer, read_pairs(folder / "train.jsonl")[:1], spec.max_length)
    groups = [pair.sequences for pair in pairs]
    return measure_kl(policy, next(make_micros(groups, 256, 1024, policy.padding, policy.share)))


def by_hand(base: Path, new: Path, old: Path | None, folder: Path, policy: Policy) -> float:
    """The same from two models of transformers, each answer of the first pair by itself."""
    with quiet():
        models = [
            PeftModel.from_pretrained(model, str(adapter)) if adapter is not None else model
            for adapter in (new, old)
            for model in [AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)]
        ]
    (pair,), _ = encode_pairs(policy.tokenizer, read_pairs(folder / "train.jsonl")[:1], 1024)
    apart: dict[tuple[int, ...], torch.Tensor] = {}
    for sequence in pair.sequences:
        with torch.no_grad():
            now, then = (model(torch.tensor([sequence.ids])).logits[0].log_softmax(-1) for model in models)
        for place in range(len(sequence.prompt), len(sequence.ids)):
            # A place that both answers share up to its token is one context.
            apart[sequence.ids[: place + 1]] = (now[place - 1].exp() * (now[place - 1] - then[place - 1])).sum()
    return float(torch.stack(list(apart.values())).mean())


def test_it_is_zero_at_first_and_looked_at_every_few_steps(make_run) -> None:
    told = run(make_run("a", max_steps=EVERY + 1))
    assert list(told) == [1, EVERY + 1]
    assert told[1] == pytest.approx(0, abs=1e-6)
    assert told[EVERY + 1] > 1e-4


def test_it_is_the_divergence_of_two_whole_models(make_run, tiny_model: Path) -> None:
    folder = make_run("a", max_steps=6)
    run(folder)
    adapter = folder / "adapter"
    # Against the base, and against the adapter that a run continues, moved by hand.
    for name, reference, old in (("b", "base", None), ("c", "init", adapter)):
        spec = load_spec(make_run(name, init_adapter=str(adapter), reference=reference))
        policy = start_policy(spec)
        if reference == "init":
            assert look(policy, spec, folder)["kl"] == pytest.approx(0, abs=1e-7)
            for parameter in policy.trainable().values():
                parameter.data.mul_(1.5)
        moved = {key: parameter.detach().clone() for key, parameter in policy.trainable().items()}
        found = look(policy, spec, folder)["kl"]
        assert all(torch.equal(moved[key], parameter) for key, parameter in policy.trainable().items())
        (folder / f"moved-{name}").mkdir()
        save_product(policy, spec, folder / f"moved-{name}", gather_state(policy))
        wanted = by_hand(tiny_model, folder / f"moved-{name}", old, folder, policy)
        assert found == pytest.approx(wanted, rel=1e-3)


def test_without_a_reference_in_memory_nothing_is_told(make_run) -> None:
    spec = load_spec(make_run("a", finetuning_type="full", lr=1e-4))
    assert look(start_policy(spec), spec, make_run("b")) == {}
