"""Two processes that train one model in parts, on the CPU: as one alone, stopped, resumed, and never left behind."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from core.errors import InvalidInput
from retrain import train as train_module
from retrain.train import main
from retrain.training import policy
from retrain.training.batches import Micro, make_micros
from retrain.training.policy import start_policy
from retrain.training.progress import Progress, read_events
from retrain.training.ranks import Ranks, lives
from retrain.training.reference import find_waiting
from retrain.training.reference_cache import ReferenceCache
from retrain.training.spec import load_spec, parse_spec
from tests.unit.retrain.test_rows import SEQUENCES

pytestmark = pytest.mark.slow

SECONDS = 240
# Small passes, an odd number of them in a step: one process then makes one that does not count.
SETTINGS = {"max_steps": 3, "tokens_per_batch": 60, "row_tokens": 60, "pairs_per_step": 5, "eval_every": 3}


def events_of(folder: Path, name: str) -> list[dict]:
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == name]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / load_spec(folder).product).glob("*.safetensors")
    return load_file(path)


def write_examples(folder: Path) -> Path:
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    thumbs = [{**row, "completion": row["chosen"], "desirable": n % 2 == 0} for n, row in enumerate(rows)]
    texts = [{"id": row["id"], "text": row["prompt"] + row["chosen"]} for row in rows]
    for name, told in (("thumbs", thumbs), ("texts", texts)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told), "utf-8")
    return folder


def assert_alike(one: Path, two: Path, *, kl: bool = False) -> None:
    for name in ("adapt_step", "step", "eval"):
        pairs = list(zip(events_of(one, name), events_of(two, name), strict=True))
        for left, right in pairs:
            # The divergence that dpo tells is of the first pass of each, which are more tokens with two.
            told = ("loss", "margin", "accuracy", "grad_norm", "tokens", "perplexity", *(["kl"] if kl else []))
            for figure in told:
                if figure in left and not (left[figure] is None and right[figure] is None):
                    assert left[figure] == pytest.approx(right[figure], rel=1e-4, abs=1e-6), (name, figure)
    left, right = weights_of(one), weights_of(two)
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("trainer", "change"),
    [
        ("dpo", {"finetuning_type": "full", "lr": 1e-3, "adapt_steps": 1}),
        ("kto", {}),
    ],
)
def test_two_train_as_one_alone(make_run, start_child, trainer, change):
    settings = SETTINGS | {"trainer": trainer} | change
    one = write_examples(make_run("one", **settings))
    two = write_examples(make_run("two", devices=2, **settings))
    child = start_child("retrain.train", two)
    assert main([str(one)]) == 0
    _, error = child.communicate(timeout=SECONDS)
    assert child.returncode == 0, error
    assert_alike(one, two, kl=trainer == "kto")
    told = [event["event"] for event in read_events(two / "progress.jsonl")]
    assert told.count("start") == told.count("end") == 1, "one of them tells"
    if trainer == "dpo":
        scored = events_of(two, "reference")
        assert scored[-1]["step"] == scored[-1]["of"]


def wait_for(folder: Path, event: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not events_of(folder, event):
        assert time.monotonic() < deadline, f"no {event}"
        time.sleep(0.02)


def test_sigterm_keeps_a_checkpoint_and_both_go_on_from_it_and_so_does_one_alone(make_run, start_child):
    first = make_run("first", max_steps=2)
    assert main([str(first)]) == 0
    settings = SETTINGS | {"max_steps": 40, "eval_every": None, "reliability_every": 15}
    settings["init_adapter"] = str(first / "adapter")
    one, two = make_run("one", **settings), make_run("two", devices=2, **settings)
    child = start_child("retrain.train", two)
    wait_for(two, "step")
    child.send_signal(signal.SIGTERM)
    assert child.wait(SECONDS) == 75, child.stderr.read()
    (stopped,) = events_of(two, "stopped")
    assert 0 < stopped["step"] < 40
    (kept,) = (two / "checkpoints").iterdir()
    assert kept.name == f"step-{stopped['step']:08d}"
    alone = Path(shutil.copytree(two, two.with_name("alone")))
    (alone / "spec.json").write_text(json.dumps(json.loads((two / "spec.json").read_text()) | {"devices": 1}))
    child = start_child("retrain.train", two)
    assert main([str(one)]) == 0
    assert main([str(alone)]) == 0
    _, error = child.communicate(timeout=SECONDS)
    assert child.returncode == 0, error
    assert [event["step"] for event in events_of(two, "start")] == [0, stopped["step"]]
    steps = events_of(two, "step")
    assert [step["step"] for step in steps] == list(range(1, 41))
    assert steps[0]["kl"] == pytest.approx(0, abs=1e-5) and steps[30]["kl"] > 0
    assert_alike(one, two)
    assert_alike(one, alone)


def find_trainers(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if str(folder) in (p.info["cmdline"] or [])]


def test_a_kill_of_the_one_that_started_them_leaves_none_behind(make_run, start_child):
    folder = make_run("a", devices=2, **SETTINGS | {"max_steps": 4000})
    child = start_child("retrain.train", folder)
    wait_for(folder, "step")
    assert len(find_trainers(folder)) >= 3
    child.kill()
    child.wait()
    deadline = time.monotonic() + 30
    while find_trainers(folder):
        assert time.monotonic() < deadline, "somebody trains on"
        time.sleep(0.1)


def test_what_they_are_told_wrong_ends_with_its_sentence_and_a_forecast_with_one_object(make_run, start_child):
    wrong = start_child("retrain.train", make_run("wrong", devices=2, pairs="other.jsonl"))
    right = start_child("retrain.train", make_run("right", devices=2), "--forecast")
    wrong.communicate(timeout=SECONDS)
    assert wrong.returncode == 2
    out, error = right.communicate(timeout=SECONDS)
    assert right.returncode == 0, error
    assert json.loads(out.strip().splitlines()[-1])["steps"] == 4


@dataclass(frozen=True, slots=True)
class Beside(Ranks):
    """One of two, whose other finds no value for the second example."""

    def add(self, values: torch.Tensor) -> torch.Tensor:
        return values + torch.tensor([0.0, 1.0, 0.0])


def test_what_any_of_them_found_no_value_for_all_score_while_another_run_fills_the_cache(tmp_path):
    cache = ReferenceCache(tmp_path, "shared")
    cache.put([("a", -1.0, -2.0), ("b", -3.0, -4.0)])
    examples = [SimpleNamespace(key=key) for key in ("a", "b", "c", "a")]
    assert [example.key for example in find_waiting(cache, examples)] == ["c"]
    assert [example.key for example in find_waiting(cache, examples, Beside(0, 2))] == ["b", "c"]


def test_one_that_is_over_but_that_nobody_waited_for_is_gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert psutil.pid_exists(child.pid)
    assert not lives(child.pid)
    child.wait()
    assert not lives(child.pid)
    assert lives(os.getpid())


class OutOfMemoryError(RuntimeError):
    """As torch's, which a device raises."""


@pytest.mark.parametrize("rank", [0, 1])
def test_whichever_fails_says_why_and_what_fails_after_it_does_not(make_run, monkeypatch, capsys, rank):
    folder = make_run("a", devices=2)
    progress = Progress(folder / "progress.jsonl")
    progress.write("error", message="An earlier try failed.", code=1)

    def fail(job) -> int:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    def fail_after(job) -> int:
        assert main([str(folder), "--started-by", "1"]) == 1
        raise RuntimeError("Connection closed by peer")

    places, tries = iter([Ranks(rank, 2), Ranks(1 - rank, 2)]), iter([fail_after, fail])
    monkeypatch.setattr(train_module, "join", lambda *_: nullcontext(next(places)))
    monkeypatch.setattr(train_module, "train", lambda job: next(tries)(job))
    with pytest.raises(RuntimeError, match="closed by peer"):
        main([str(folder), "--started-by", "1"])
    told = [(event["message"], event["code"]) for event in events_of(folder, "error")]
    assert told[1:] == [("The run needs more memory than there is. Lower tokens_per_batch.", 1)]
    assert "closed by peer" in capsys.readouterr().err


@given(st.lists(SEQUENCES, min_size=1, max_size=8), st.integers(1, 5))
def test_each_pass_counts_once_and_all_make_equally_many(groups, size):
    every = list(make_micros(groups, 30, 60, 0))
    dealt: list[list[Micro]] = [list(Ranks(rank, size).deal(every)) for rank in range(size)]
    assert {len(own) for own in dealt} == {math.ceil(len(every) / size)}
    counted = [micro.groups for own in dealt for micro in own if micro.weight]
    assert sorted(counted) == sorted(micro.groups for micro in every)


@dataclass(frozen=True, slots=True)
class Threads(Ranks):
    """Ranks that are threads of this process, which wait for each other at `gate`."""

    gate: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def wait(self) -> None:
        self.gate.wait(SECONDS)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_no_two_are_in_turn_at_once_and_all_have_theirs(size):
    gate, told = threading.Barrier(size), []

    def load(rank: int) -> None:
        with Threads(rank, size, gate=gate).in_turn():
            told.append((rank, "in"))
            time.sleep(0.002)
            told.append((rank, "out"))

    with ThreadPoolExecutor(size) as pool:
        list(pool.map(load, range(size)))
    assert told == [(rank, way) for rank in range(size) for way in ("in", "out")]


def test_an_adapter_that_keeps_its_dropout_is_not_continued_on_several_devices(make_run, monkeypatch):
    first = make_run("first", max_steps=1, lora={"r": 4, "alpha": 8, "dropout": 0.2})
    assert main([str(first)]) == 0
    spec = load_spec(make_run("second", devices=2, init_adapter=str(first / "adapter")))
    monkeypatch.setattr(policy, "lay_mesh", lambda ranks: None)
    with pytest.raises(InvalidInput, match="dropout is drawn on one device"):
        start_policy(spec, Ranks(0, 2))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"devices": 0}, "devices must be above 0"),
        ({"devices": 1.5}, "devices must be a whole number"),
        ({"devices": 2, "loss": "drdpo"}, "drdpo trains on one device"),
        ({"devices": 2, "lora": {"dropout": 0.1}}, "dropout is drawn on one device"),
        ({"devices": 2, "device": "cuda:1"}, "cuda:1 is one device"),
    ],
)
def test_what_does_not_go_with_several_devices_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse_spec({"base_model": "models/chat", "max_steps": 3} | change)
