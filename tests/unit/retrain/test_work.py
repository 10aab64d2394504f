"""The arithmetic of a pass, counted by hand on a tiny model, and the share of the peak that a run says."""

from __future__ import annotations

import time

import pytest
import torch

from models.tiny import write_experts
from retrain.training.policy import Hardware, load_policy
from retrain.training.progress import Progress, read_events
from retrain.training.rows import Tokens, build_row, stack
from retrain.training.spec import LoraSpec, load_spec
from retrain.training.trainer import DONE, TRAINERS, Job
from retrain.training.work import measure_peak

HARDWARE = Hardware("cpu", "fp32", 1, "test")


def test_a_pass_costs_two_operations_a_weight_and_training_twice_or_thrice_that(tiny_model):
    policy = load_policy(tiny_model, None, LoraSpec(r=4), HARDWARE, seed=0)
    # Two layers: q 32x32, k and v 32x16, o 32x32, gate, up and down 32x64; rank 4 on each of the seven.
    frozen = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64)
    adapted = 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64))
    head = 32 * len(policy.tokenizer)
    batch = stack([build_row([Tokens((3, 4, 5), (6, 7)), Tokens((3, 4, 5), (8,))])], 0)
    assert (batch.tokens, batch.edge_id.numel()) == (6, 3)
    assert policy.cost.of(batch, trained=False) == 6 * 2 * (frozen + adapted) + 3 * 2 * head
    assert policy.cost.of(batch, trained=True) == 6 * (4 * frozen + 6 * adapted) + 3 * 4 * head
    with torch.no_grad():
        policy.score(batch)
    assert policy.operations == policy.cost.of(batch, trained=False)


def test_of_experts_those_count_that_a_token_uses(tmp_path):
    policy = load_policy(write_experts(tmp_path / "m"), None, LoraSpec(r=4), HARDWARE, seed=0)
    attention = 2 * (2 * 32 * 32 + 2 * 32 * 16)
    experts = 2 * 2 * 3 * 32 * 32  # two layers, two of four experts
    router = 2 * 4 * 32
    adapted = 2 * 4 * (2 * (32 + 32) + 2 * (32 + 16))
    assert policy.cost.token == 2 * (attention + experts + router + adapted)


def test_the_peak_is_what_the_clock_says_of_a_product():
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0, 21.0, 30.0, 34.0, 40.0, 44.0])
    assert measure_peak(HARDWARE, lambda: next(times)) == 2 * 1024**3 / 1.0
    assert measure_peak(HARDWARE, lambda: 0.0) is None, "too coarse a clock"


@pytest.mark.gpu
def test_a_gpu_multiplies_faster_in_bf16_than_any_processor():
    assert (measure_peak(Hardware("cuda", "bf16", 1, "test"), time.perf_counter) or 0.0) > 2e13


def test_a_run_says_its_share_of_the_peak(make_run):
    folder = make_run("a", max_steps=2)
    job = Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), lambda: False, time.monotonic)
    assert TRAINERS.get("dpo")().train(job) == DONE
    events = read_events(folder / "progress.jsonl")
    assert next(event["peak_gflops"] for event in events if event["event"] == "start") > 0
    assert all(0 < event["mfu"] < 1 for event in events if event["event"] == "step")
