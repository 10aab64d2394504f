"""The DPO loop on a tiny model: where it starts, what moves, accumulation, stop and resume, learning."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import InvalidInput
from retrain.training.checkpoint import gather, restore
from retrain.training.loop import build_optimizer
from retrain.training.progress import Progress, read_events
from retrain.training.spec import RunSpec, load_spec
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job

pytestmark = pytest.mark.slow


def never() -> bool:
    return False


def stop_after(calls: int) -> Callable[[], bool]:
    """Says stop from the given question on; the loop asks before every forward pass."""
    numbers = count(1)
    return lambda: next(numbers) > calls


def run(folder: Path, stop: Callable[[], bool] = never) -> int:
    job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), stop, time.monotonic)
    return TRAINERS.get("dpo")().train(job)


def read_steps(folder: Path) -> list[dict]:
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == "step"]


def read_adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_the_first_step_starts_at_ln_2_with_no_margin(make_run):
    folder = make_run("a")
    assert run(folder) == DONE
    first = read_steps(folder)[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["margin"] == pytest.approx(0, abs=1e-5)


def test_it_learns_what_the_pairs_prefer(make_run):
    folder = make_run("a", max_steps=30)
    run(folder)
    last = read_steps(folder)[-1]
    assert last["loss"] < 0.4
    assert last["accuracy"] == 1
    assert last["chosen_reward"] > last["rejected_reward"]


def test_the_reference_does_not_move(make_run, tiny_model):
    folder = make_run("a")
    base = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    run(folder)
    cached = {path.name: path.read_bytes() for path in (folder / "reference").iterdir()}
    assert len(cached) == 1
    # A second run over the same pairs finds every value and scores none anew.
    again = make_run("b", reference_cache=str(folder / "reference"), seed=3)
    run(again)
    assert {path.name: path.read_bytes() for path in (folder / "reference").iterdir()} == cached
    assert not [event for event in read_events(again / "progress.jsonl") if event["event"] == "reference"]
    assert {path.name: path.read_bytes() for path in tiny_model.iterdir()} == base


def test_a_continued_adapter_is_its_own_reference(make_run):
    first = make_run("a")
    run(first)
    second = make_run("b", init_adapter=str(first / "adapter"), seed=5)
    run(second)
    assert read_steps(second)[0]["margin"] == pytest.approx(0, abs=1e-5)
    against_base = make_run("c", init_adapter=str(first / "adapter"), reference="base", seed=5)
    run(against_base)
    assert abs(read_steps(against_base)[0]["margin"]) > 1e-3


def test_adapters_hold_only_safetensors_and_a_configuration_without_paths(make_run, tiny_model):
    folder = make_run("a")
    run(folder)
    assert sorted(p.name for p in (folder / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert str(tiny_model.parent) not in (folder / "adapter" / "adapter_config.json").read_text("utf-8")


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("asked", [3, 6, 9])
def test_stopping_and_resuming_gives_the_same_weights_bit_for_bit(make_run, dropout, asked):
    lora = {"r": 4, "alpha": 8, "dropout": dropout}
    # Small batches, so that a stop also falls inside a step.
    settings = {"lora": lora, "max_steps": 5, "tokens_per_batch": 40, "row_tokens": 40, "pairs_per_step": 3}
    whole = make_run("whole", **settings)
    assert run(whole) == DONE
    halted = make_run("halted", **settings, reference_cache=str(whole / "reference"))
    assert run(halted, stop_after(asked)) == STOPPED
    assert not (halted / "adapter").exists()
    torch.manual_seed(999)  # a new process would not have the old one's generator either
    assert run(halted) == DONE
    assert_same(read_adapter(whole), read_adapter(halted))
    losses = [[step["loss"] for step in read_steps(folder)] for folder in (whole, halted)]
    assert losses[0] == losses[1]


def test_a_stop_while_held_out_pairs_are_scored_tells_no_part_of_them_as_all(make_run):
    settings = {"max_steps": 2, "eval_every": 1, "tokens_per_batch": 64, "row_tokens": 64}
    whole = make_run("whole", **settings)
    run(whole)
    asked = count(1)

    def scored_and_stepped() -> bool:
        return len(read_steps(halted)) == 1 and next(asked) > 3

    halted = make_run("halted", **settings, reference_cache=str(whole / "reference"))
    assert run(halted, scored_and_stepped) == STOPPED
    assert run(halted) == DONE
    told = [
        {event["step"]: event["loss"] for event in read_events(folder / "progress.jsonl") if event["event"] == "eval"}
        for folder in (whole, halted)
    ]
    assert told[1].items() <= told[0].items()


def test_a_checkpoint_comes_back_to_where_the_weights_are():
    here, there = (torch.nn.Parameter(torch.ones(3, device=device)) for device in ("cpu", "meta"))
    optimizers = [build_optimizer(RunSpec("model", max_steps=1), {"w": w}, 0.1) for w in (here, there)]
    here.grad = torch.ones(3)
    optimizers[0].step()
    restore(gather({"w": here}, optimizers[0], {}), {"w": there}, optimizers[1])
    # Also the number of steps, which the fused optimiser counts on the device.
    assert {kind: value.device.type for kind, value in optimizers[1].state[there].items()} == {
        "step": "meta",
        "exp_avg": "meta",
        "exp_avg_sq": "meta",
    }


def test_a_stop_while_the_reference_is_scored_keeps_what_was_scored(make_run):
    settings = {"tokens_per_batch": 64, "row_tokens": 64}
    whole = make_run("whole", **settings)
    run(whole)
    halted = make_run("halted", **settings)
    assert run(halted, stop_after(2)) == STOPPED
    assert run(halted) == DONE
    assert_same(read_adapter(whole), read_adapter(halted))


def test_only_the_last_checkpoint_is_kept(make_run):
    folder = make_run("a", checkpoint_every_steps=1, max_steps=4)
    run(folder)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step-00000003"]
    files = sorted(path.name for path in (folder / "checkpoints" / "step-00000003").iterdir())
    assert files == ["state.json", "tensors.safetensors"]


def test_a_half_written_checkpoint_is_not_taken(make_run):
    whole = make_run("whole", max_steps=4)
    run(whole)
    folder = make_run("a", checkpoint_every_steps=2, max_steps=4)
    run(folder, stop_after(4))
    partial = folder / "checkpoints" / ".step-00000009.partial"
    partial.mkdir(parents=True)
    save_file({"weight.x": torch.zeros(1)}, partial / "tensors.safetensors")
    assert run(folder) == DONE
    assert_same(read_adapter(whole), read_adapter(folder))


def test_a_checkpoint_of_other_settings_is_refused(make_run):
    folder = make_run("a")
    assert run(folder, stop_after(4)) == STOPPED
    spec = json.loads((folder / "spec.json").read_text("utf-8"))
    (folder / "spec.json").write_text(json.dumps(spec | {"beta": 0.5}), "utf-8")
    with pytest.raises(InvalidInput, match="changed since its checkpoint"):
        run(folder)


def test_a_finished_run_is_not_run_again(make_run):
    folder = make_run("a")
    run(folder)
    before = (folder / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns
    steps = len(read_steps(folder))
    assert run(folder) == DONE
    assert (folder / "adapter" / "adapter_model.safetensors").stat().st_mtime_ns == before
    assert len(read_steps(folder)) == steps


def test_a_batch_of_eight_equals_eight_accumulated(make_run):
    # Plain gradients show: AdamW's first step would turn a gradient's last digit near zero into a full step.
    norms = []
    for name, settings in {
        "one": {"tokens_per_batch": 4096, "row_tokens": 4096},
        "eight": {"tokens_per_batch": 1, "row_tokens": 1, "pairs_per_step": 1, "accumulate": 8},
    }.items():
        folder = make_run(name, **({"pairs_per_step": 8, "max_steps": 3, "seed": 2} | settings))
        run(folder)
        norms.append([(step["loss"], step["grad_norm"]) for step in read_steps(folder)])
    for one, eight in zip(*norms, strict=True):
        assert one == pytest.approx(eight, rel=1e-5)


def test_gradients_of_eight_pairs_are_those_of_the_pairs_one_by_one(make_run):
    from retrain.trainers import dpo

    gradients = []
    for name, settings in {"one": {"row_tokens": 4096}, "eight": {"row_tokens": 1, "tokens_per_batch": 1}}.items():
        folder = make_run(name, **settings)
        job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), never, time.monotonic)
        policy, pairs, _ = dpo.prepare(job)
        for key, parameter in policy.trainable().items():
            if "lora_B" in key:
                parameter.data.fill_(0.01)
        cache = dpo.score_reference(job, policy, pairs)
        policy.model.train()
        dpo.accumulate(job, policy, pairs[:8], cache)
        gradients.append({key: p.grad.clone() for key, p in policy.trainable().items()})
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][key], atol=1e-5, rtol=1e-4)


def test_weights_of_pairs_count_like_copies(make_run):
    steps = []
    for name, weights in {"weighted": [2, 1, 0], "copied": None}.items():
        folder = make_run(name, max_steps=1, pairs_per_step=2 if weights else 3, seed=1)
        rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()][:3]
        if weights:
            rows = [row | {"weight": weight} for row, weight in zip(rows, weights, strict=True)]
        else:
            rows = [rows[0], rows[0] | {"id": "copy"}, rows[1]]
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        run(folder)
        steps.append(read_steps(folder)[0])
    for figure in ("loss", "chosen_logp", "rejected_logp", "grad_norm"):
        assert steps[0][figure] == pytest.approx(steps[1][figure], rel=1e-4)


@pytest.mark.parametrize("loss", ["cdpo", "rdpo", "ipo", "hinge", "drdpo"])
def test_every_loss_trains(make_run, loss):
    smoothing = {"label_smoothing": 0.1} if loss in ("cdpo", "rdpo") else {}
    folder = make_run("a", loss=loss, max_steps=12, **smoothing)
    assert run(folder) == DONE
    steps = read_steps(folder)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["margin"] > 0


def test_held_out_pairs_are_watched_when_asked(make_run):
    folder = make_run("a", eval_every=2)
    run(folder)
    events = [event for event in read_events(folder / "progress.jsonl") if event["event"] == "eval"]
    assert [event["step"] for event in events] == [2, 4]
    assert all(0 <= event["accuracy"] <= 1 for event in events)


def test_a_mixture_of_experts_trains(make_run, tmp_path):
    from transformers import MixtralConfig, MixtralForCausalLM

    folder = make_run("a", max_steps=2, lora={"r": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]})
    spec = json.loads((folder / "spec.json").read_text("utf-8"))
    config = json.loads((Path(spec["base_model"]) / "config.json").read_text("utf-8"))
    shape = {name: config[name] for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "sliding_window": None}
    torch.manual_seed(0)
    model = MixtralForCausalLM(MixtralConfig(**shape, **heads, pad_token_id=0, bos_token_id=1, eos_token_id=2))
    experts = tmp_path / "experts"
    model.save_pretrained(experts)
    for path in Path(spec["base_model"]).iterdir():
        if "token" in path.name or path.suffix == ".jinja":
            (experts / path.name).write_bytes(path.read_bytes())
    (folder / "spec.json").write_text(json.dumps(spec | {"base_model": str(experts)}), "utf-8")
    assert run(folder) == DONE
    assert read_steps(folder)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
