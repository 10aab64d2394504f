"""The training child process: its exit codes, its sentences, SIGTERM, and its forecast."""

from __future__ import annotations

import json
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from retrain.training.progress import read_events
from retrain.training.spec import parse_spec

# Each needs the tiny model, whose library alone takes seconds to import.
pytestmark = pytest.mark.slow


def wait_for(folder, event, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(row["event"] == event for row in read_events(folder / "progress.jsonl")):
            return
        time.sleep(0.02)
    pytest.fail(f"no event {event} within {seconds} s")


def test_sigterm_saves_a_checkpoint_and_a_second_start_ends_equal(make_run, start_child):
    whole, halted = (make_run(name, max_steps=60, lora={"r": 4, "dropout": 0.1}) for name in ("whole", "halted"))
    first = start_child("retrain.train", whole)
    second = start_child("retrain.train", halted)
    wait_for(halted, "step")
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 75, second.stderr.read()
    stopped = read_events(halted / "progress.jsonl")[-1]
    assert stopped["event"] == "stopped"
    assert 0 < stopped["step"] < 60
    assert (halted / "checkpoints" / f"step-{stopped['step']:08d}" / "tensors.safetensors").exists()
    third = start_child("retrain.train", halted)
    assert third.wait(60) == 0, third.stderr.read()
    assert first.wait(60) == 0, first.stderr.read()
    starts = [row["step"] for row in read_events(halted / "progress.jsonl") if row["event"] == "start"]
    assert starts == [0, stopped["step"]]
    weights = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (whole, halted)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_forecast_is_one_json_object(make_run, start_child):
    folder = make_run("a", max_steps=10)
    child = start_child("retrain.train", folder, "--forecast")
    out, error = child.communicate(timeout=60)
    assert child.returncode == 0, error
    forecast = json.loads(out)
    assert forecast["pairs"] == 12
    assert forecast["steps"] == 10
    assert 0 < forecast["seconds_low"] <= forecast["seconds_high"] < 60
    assert forecast["tokens"] > 0
    assert not (folder / "adapter").exists()


def test_a_bad_spec_ends_with_one_sentence_and_code_2(make_run, start_child):
    folder = make_run("a", loss="mystery")
    child = start_child("retrain.train", folder)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 2
    assert error.strip() == "spec.json: there is no loss mystery. There are: cdpo, dpo, drdpo, hinge, ipo, rdpo."
    assert read_events(folder / "progress.jsonl")[-1]["event"] == "error"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lr": 0}, "lr must be above 0"),
        ({"epochs": 1}, "either epochs or max_steps"),
        ({"max_steps": None}, "either epochs or max_steps"),
        ({"bata": 1}, "bata is not a setting"),
        ({"label_smoothing": 0.1}, "dpo takes no label_smoothing"),
        ({"label_smoothing": 0.5, "loss": "cdpo"}, "label_smoothing must be at least 0 and below 0.5"),
        ({"reliability_every": 2, "loss": "rdpo"}, "rdpo takes no reliability weights"),
        ({"noise_rate": 0.5}, "noise_rate must be at least 0 and below 0.5"),
        ({"beta_prime": 0}, "beta_prime must be above 0"),
        ({"schedule": "steps"}, "no schedule steps"),
        ({"reference": "moon"}, "reference cannot be moon"),
        ({"precision": "fp8"}, "precision cannot be fp8"),
        ({"lora": {"rank": 4}}, "lora holds an unknown key"),
        ({"lora": 4}, "lora holds an unknown key"),
        ({"lr": "fast"}, "wrong kind"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"base_model": ""}, "base_model is missing"),
    ],
)
def test_a_spec_out_of_range_is_refused_by_name(change, sentence):
    with pytest.raises(Exception, match=sentence):
        parse_spec({"base_model": "models/chat", "max_steps": 3} | change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"base_model": "/nowhere"}, "is not a folder"),
        ({"pairs": "other.jsonl"}, "other.jsonl cannot be read"),
        ({"trainer": "wizard"}, "no trainer named wizard"),
        ({"lora": {"targets": ["nothing"]}}, "does not fit the base model"),
        ({"init_adapter": "/nowhere"}, "is not a folder"),
        ({"max_length": 3}, "too long"),
        ({"device": "toaster"}, "no device toaster"),
    ],
)
def test_what_is_missing_is_named(make_run, capsys, change, sentence):
    from retrain.train import main

    folder = make_run("a", **change)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert main([str(folder)]) == 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert read_events(folder / "progress.jsonl")[-1]["code"] == 2
