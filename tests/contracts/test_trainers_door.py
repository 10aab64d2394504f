"""What every trainer keeps, run over the registry: it trains, stops, resumes bit for bit, forecasts and refuses."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.errors import InvalidInput
from models.tiny import write_model
from retrain.training.progress import Progress, read_events
from retrain.training.spec import load_spec
from retrain.training.trainer import DONE, STOPPED, TRAINERS, Job

FILES = ("train.jsonl", "thumbs.jsonl", "texts.jsonl")


def never() -> bool:
    return False


def stop_after(calls: int) -> Callable[[], bool]:
    numbers = count(1)
    return lambda: next(numbers) > calls


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def make_run(tmp_path: Path, base: Path) -> Callable[..., Path]:
    """`make_run(name, trainer, **spec)`: a run's folder with a file of every kind that trainers read."""

    def make(name: str, trainer: str, **spec: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        draw = random.Random(0)
        rows: dict[str, list[dict[str, object]]] = {file: [] for file in FILES}
        for number in range(8):
            prompt = "".join(draw.choices("abcdef ", k=6)) + f"{number // 2}?"
            good, bad = ("".join(draw.choices(letters, k=draw.randint(2, 9))) for letters in ("ABC", "abc"))
            rows["train.jsonl"].append({"id": f"p{number}", "prompt": prompt, "chosen": good, "rejected": bad})
            liked = number % 2 == 0
            thumb = {"id": f"t{number}", "prompt": prompt, "completion": good if liked else bad, "desirable": liked}
            rows["thumbs.jsonl"].append(thumb)
            rows["texts.jsonl"].append({"id": f"x{number}", "text": f"{prompt} {good} {bad}" * 2})
        for file, told in rows.items():
            (folder / file).write_text("".join(json.dumps(row) + "\n" for row in told), "utf-8")
        usual = {"base_model": str(base), "trainer": trainer, "max_steps": 4, "lr": 1e-2, "device": "cpu"}
        usual |= {"precision": "fp32", "threads": 1, "lora": {"r": 4, "alpha": 8, "dropout": 0.1}}
        # Small batches, so that a stop also falls inside a step.
        usual |= {"tokens_per_batch": 64, "row_tokens": 64}
        (folder / "spec.json").write_text(json.dumps(usual | spec), "utf-8")
        return folder

    return make


def start(folder: Path, stop: Callable[[], bool] = never) -> Job:
    return Job(folder, load_spec(folder), Progress(folder / "progress.jsonl"), stop, time.monotonic)


def train(folder: Path, stop: Callable[[], bool] = never) -> int:
    job = start(folder, stop)
    return TRAINERS.get(job.spec.trainer)().train(job)


def steps_of(folder: Path) -> list[dict[str, float]]:
    return [event for event in read_events(folder / "progress.jsonl") if event["event"] == "step"]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / load_spec(folder).product).glob("*.safetensors")
    return load_file(path)


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_it_says_in_a_line_what_it_does(trainer):
    assert TRAINERS.summary(trainer).endswith(".")
    assert len(TRAINERS.summary(trainer)) < 120


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_it_lowers_its_loss_and_leaves_an_adapter(trainer, make_run):
    folder = make_run("a", trainer, max_steps=24, tokens_per_batch=1024)
    assert train(folder) == DONE
    steps = steps_of(folder)
    assert len(steps) == 24
    assert sum(step["loss"] for step in steps[-4:]) < sum(step["loss"] for step in steps[:4])
    assert all(step["tokens"] > 0 and step["grad_norm"] > 0 for step in steps)
    names = sorted(path.name for path in (folder / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    events = [event["event"] for event in read_events(folder / "progress.jsonl")]
    assert events[-1] == "end" and events.count("start") == 1


@pytest.mark.parametrize(("asked", "what"), [(1, "lora"), (13, "lora"), (13, "full")])
@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_a_stop_and_a_second_start_give_the_same_weights_bit_for_bit(trainer, asked, what, make_run):
    whole, halted = (make_run(name, trainer, finetuning_type=what) for name in ("whole", "halted"))
    assert train(whole) == DONE
    assert train(halted, stop_after(asked)) == STOPPED
    assert not (halted / load_spec(halted).product).exists()
    torch.manual_seed(999)  # a new process would not have the old one's generator either
    assert train(halted) == DONE
    left, right = weights(whole), weights(halted)
    assert left.keys() == right.keys()
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_it_forecasts_what_a_run_takes_and_leaves_nothing(trainer, make_run):
    folder = make_run("a", trainer)
    before = sorted(path.name for path in folder.iterdir())
    told = TRAINERS.get(trainer)().forecast(start(folder))
    assert told.steps == 4 and told.pairs == 8 and told.tokens > 0
    assert 0 < told.seconds_low <= told.seconds_high
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("text", [None, "", "no json\n", "{}\n"])
@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_bad_examples_are_refused_with_a_sentence(trainer, text, make_run):
    folder = make_run("a", trainer)
    for file in FILES:
        if text is None:
            (folder / file).unlink()
        else:
            (folder / file).write_text(text, "utf-8")
    with pytest.raises(InvalidInput, match=r"\.jsonl .*(cannot be read|holds no|line 1 is not a)"):
        train(folder)
    assert not (folder / "adapter").exists()


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_examples_that_are_all_too_long_are_refused(trainer, make_run):
    with pytest.raises(InvalidInput, match="too long"):
        train(make_run("a", trainer, max_length=3))


@pytest.mark.parametrize("trainer", list(TRAINERS))
def test_a_checkpoint_of_other_examples_is_refused(trainer, make_run):
    folder = make_run("a", trainer, checkpoint_every_steps=1)
    assert train(folder, stop_after(13)) == STOPPED
    for file in FILES:
        lines = (folder / file).read_text("utf-8").splitlines(keepends=True)
        (folder / file).write_text("".join(lines[:-1]), "utf-8")
    with pytest.raises(InvalidInput, match="changed since its checkpoint"):
        train(folder)
