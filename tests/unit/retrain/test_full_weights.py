"""All weights trained instead of an adapter: where it starts, what moves, stop and resume, what is left and judged."""

from __future__ import annotations

import json
import math
import shutil
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import InvalidInput
from models.artefacts import digest, inspect
from models.load import load_base
from models.tiny import write_experts
from retrain.evaluate import evaluate
from retrain.train import main
from retrain.training import product
from retrain.training.product import gather_state, narrow
from retrain.training.progress import Progress, read_events
from retrain.training.spec import load_spec, parse_spec
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job
from tests.unit.retrain.test_retrain_train_steps import never, stop_after

FULL = {"finetuning_type": "full", "lr": 1e-3}


def run(folder: Path, stop: Callable[[], bool] = never) -> int:
    spec = load_spec(folder)
    job = Job(folder, spec, Progress(folder / "progress.jsonl"), stop, time.monotonic)
    return TRAINERS.get(spec.trainer)().train(job)


def events_of(folder: Path, name: str) -> list[dict]:
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == name]


def read_model(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_it_learns_from_the_base_and_leaves_a_whole_model_without_a_reference_beside_it(make_run, tiny_model):
    folder = make_run("a", max_steps=30, **FULL)
    before = digest(tiny_model)
    assert run(folder) == DONE
    steps = events_of(folder, "step")
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert steps[-1]["accuracy"] == 1 and steps[-1]["loss"] < 0.4
    assert digest(tiny_model) == before
    old, new = read_model(tiny_model), read_model(folder / "model")
    assert old.keys() == new.keys()
    # Every weight is trained, norms and embeddings included.
    assert all(not torch.equal(old[name], new[name]) and old[name].dtype == new[name].dtype for name in old)
    assert events_of(folder, "start")[0]["parameters"] == sum(tensor.numel() for tensor in old.values())
    names = {path.name for path in inspect(folder / "model")}
    assert names == {path.name for path in tiny_model.iterdir()}
    assert events_of(folder, "end")[0]["model"] == digest(folder / "model")
    assert load_base(folder / "model").digest == digest(folder / "model")


@pytest.mark.parametrize("asked", [3, 6, 9])
def test_stopping_and_resuming_gives_the_same_model_bit_for_bit(make_run, asked):
    settings = {"max_steps": 4, "tokens_per_batch": 40, "row_tokens": 40, **FULL}
    whole, halted = make_run("whole", **settings), make_run("halted", **settings)
    assert run(whole) == DONE
    assert run(halted, stop_after(asked)) == STOPPED
    assert not (halted / "model").exists()
    assert run(halted) == DONE
    assert digest(whole / "model") == digest(halted / "model")


def test_a_trained_model_is_judged_and_goes_on_from_itself_or_from_an_adapter(make_run, tiny_model):
    first = make_run("first", max_steps=30, **FULL)
    run(first)
    told = evaluate(first, Progress(first / "progress.jsonl"), never, time.monotonic)
    assert told["versions"]["champion"]["accuracy"].value == 0.5
    assert told["versions"]["candidate"]["accuracy"].value > 0.8
    old, new = read_model(tiny_model), read_model(first / "model")
    moved = math.sqrt(sum(float((new[name] - old[name]).square().sum()) for name in old))
    assert told["update"]["norm"] == pytest.approx(moved, rel=1e-4)

    second = make_run("second", init_model=str(first / "model"), max_steps=2, **FULL)
    run(second)
    assert events_of(second, "step")[0]["margin"] == pytest.approx(0, abs=1e-5)
    again = evaluate(second, Progress(second / "progress.jsonl"), never, time.monotonic)
    # The fixed base is the scale that all versions of a chain are measured on.
    assert again["versions"]["champion"] == told["versions"]["candidate"]

    adapter = make_run("adapter", max_steps=20)
    run(adapter)
    merged = make_run("merged", init_adapter=str(adapter / "adapter"), max_steps=2, **{**FULL, "lr": 1e-9})
    run(merged)
    assert events_of(merged, "step")[0]["margin"] == pytest.approx(0, abs=1e-4)
    beside = evaluate(merged, Progress(merged / "progress.jsonl"), never, time.monotonic)
    assert beside["difference"]["accuracy"].value == 0
    assert beside["update"]["norm"] == pytest.approx(0, abs=1e-3)


def test_it_takes_no_reference_that_an_adapters_run_scored_with_weights_rounded_to_bf16(make_run, tmp_path):
    cache = str(tmp_path / "cache")
    settings = {"precision": "bf16", "max_steps": 1}
    run(make_run("adapter", reference_cache=cache, **settings))
    own, shared = make_run("own", **settings, **FULL), make_run("shared", reference_cache=cache, **settings, **FULL)
    run(own)
    run(shared)
    assert events_of(shared, "step")[0]["margin"] == events_of(own, "step")[0]["margin"]


def test_only_who_keeps_what_was_trained_holds_more_than_one_tensor_of_it(monkeypatch):
    made: list[weakref.ref[torch.Tensor]] = []

    def put_together(part: torch.Tensor) -> torch.Tensor:
        assert all(whole() is None for whole in made), "the model would be whole on every device"
        whole = part.clone()
        made.append(weakref.ref(whole))
        return whole

    monkeypatch.setattr(product, "put_together", put_together)
    first, second = torch.ones(3), torch.zeros(2)
    state = {"first": first, "tied": first, "second": second}
    policy = SimpleNamespace(adapted=False, causal=SimpleNamespace(state_dict=lambda keep_vars: state))
    assert gather_state(policy, keep=False) == {}
    assert len(made) == 2, "all ranks ask for each"
    monkeypatch.setattr(product, "put_together", torch.clone)
    kept = gather_state(policy)
    assert kept["tied"] is kept["first"] and list(kept) == list(state)


def test_adaptation_comes_first_with_all_weights_too(make_run):
    folder = make_run("a", adapt_steps=2, max_steps=2, **FULL)
    rows = [{"id": str(n), "text": "my parcel is late"} for n in range(8)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert main([str(folder)]) == DONE
    assert events_of(folder, "step")[0]["margin"] == pytest.approx(0, abs=1e-5)
    assert not (folder / "adapt" / "adapter").exists()
    assert digest(folder / "adapt" / "model") != digest(folder / "model")


def test_bf16_products_move_fp32_weights_and_a_bf16_model_stays_one(make_run, tiny_model, tmp_path):
    base = shutil.copytree(tiny_model, tmp_path / "half")
    save_file({name: tensor.bfloat16() for name, tensor in read_model(base).items()}, base / "model.safetensors")
    config = json.loads((base / "config.json").read_text("utf-8"))
    (base / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}), "utf-8")
    folder = make_run("a", base_model=str(base), precision="bf16", max_steps=12, **FULL)
    assert run(folder) == DONE
    assert events_of(folder, "step")[-1]["margin"] > 0
    assert {tensor.dtype for tensor in read_model(folder / "model").values()} == {torch.bfloat16}


def test_what_was_learnt_outlives_the_rounding_to_bf16():
    generator = torch.Generator().manual_seed(0)
    spacing = 2.0**-7  # of bf16 numbers from 1 to 2
    began = 1 + spacing * torch.randint(0, 127, (200_000,), generator=generator)
    moved = began + 0.05 * spacing
    assert torch.equal(moved.bfloat16().float(), began), "the nearest bf16 number is the one that it began as"
    kept = narrow(moved, generator).float()
    steps = (kept - began) / spacing
    assert set(steps.unique().tolist()) <= {0.0, 1.0}
    # Standard error 0.0005: false failure under 1 in 10,000 within 0.002.
    assert float(steps.mean()) == pytest.approx(0.05, abs=0.002)
    exact = torch.tensor([0.0, 1.0, -1.5, 2.0**-130])
    assert torch.equal(narrow(exact, generator).float(), exact), "a bf16 number stays itself"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_experts_and_their_routers_train_too(make_run, tmp_path, precision):
    base = write_experts(tmp_path / "experts")
    folder = make_run("a", base_model=str(base), max_steps=2, router_aux_weight=0.01, precision=precision, **FULL)
    assert run(folder) == DONE
    old, new = read_model(base), read_model(folder / "model")
    assert old.keys() == new.keys()
    assert all(not torch.equal(old[name], new[name]) for name in old)


def test_a_forecast_counts_the_moments_and_changes_nothing(make_run):
    folder = make_run("a", max_steps=600, **FULL)  # a tiny step is milliseconds, told to a tenth of a second
    job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), never, time.monotonic)
    told = TRAINERS.get("dpo")().forecast(job)
    assert told.steps == 600 and 0 < told.seconds_low <= told.seconds_high
    assert not (folder / "model").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"finetuning_type": "freeze"}, "finetuning_type cannot be freeze"),
        ({"init_model": "m"}, "could not be served"),
        ({"finetuning_type": "full", "init_model": "m", "init_adapter": "a"}, "either init_adapter or init_model"),
        ({"finetuning_type": "full", "init_model": "m", "reference": "base"}, "the reference is the model"),
    ],
)
def test_what_does_not_go_together_is_refused(change, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        parse_spec({"base_model": "models/chat", "max_steps": 3} | change)


def test_the_usual_rate_follows_what_trains():
    told = {"base_model": "models/chat", "max_steps": 3}
    assert parse_spec(told).lr == 2e-4
    assert parse_spec({**told, "finetuning_type": "full"}).lr == 1e-6
