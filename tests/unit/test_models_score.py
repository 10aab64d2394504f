"""Scores and fingerprints: equal to the plain computation, the same for the same version, other for another."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core.ports import Fingerprint
from models.adapters import Versions
from models.device import describe_place, describe_processor
from models.engine import PRINT_PASSES, PRINT_PATIENCE, Engine, Task
from models.fingerprint import LENGTH, PROMPTS, take_fingerprint
from models.generate import Decoder
from models.load import Base, load_base
from models.score import batches, score
from models.tiny import write_adapter, write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(folder: Path) -> Base:
    return load_base(folder, device="cpu", dtype="float32")


@pytest.fixture
def versions(base: Base, folder: Path, tmp_path: Path) -> Versions:
    versions = Versions(base)
    versions.load("a-v1", write_adapter(tmp_path / "a", folder, seed=1))
    versions.load("a-v2", write_adapter(tmp_path / "b", folder, seed=2))
    return versions


def finish(task: Generator[None, None, Fingerprint]) -> tuple[Fingerprint, int]:
    pauses = 0
    while True:
        try:
            next(task)
            pauses += 1
        except StopIteration as done:
            return done.value, pauses


def plain(base: Base, versions: Versions, name: str, prompt: list[int], completion: list[int]) -> float:
    import torch

    versions.route([name])
    with torch.inference_mode():
        spread = torch.log_softmax(base.model(input_ids=torch.tensor([prompt + completion])).logits[0].double(), -1)
    return sum(float(spread[len(prompt) - 1 + at, token]) for at, token in enumerate(completion))


@pytest.mark.parametrize("name", ["base", "a-v1"])
def test_score_is_the_plain_sum_whatever_the_batch(base: Base, versions: Versions, name: str) -> None:
    items = [(list(range(5, 5 + 3 * n)), list(range(40, 42 + 5 * (n % 4)))) for n in range(1, 12)]
    found = dict(pair for part in score(base, versions, name, items) for pair in part)
    assert sorted(found) == list(range(len(items)))
    for index, (prompt, completion) in enumerate(items):
        assert found[index].tokens == len(completion)
        assert math.isclose(found[index].logprob, plain(base, versions, name, prompt, completion), rel_tol=1e-5)


def test_batches_hold_every_index_within_the_budget() -> None:
    lengths = [900, 3, 5, 2000, 7, 100, 100, 100]
    groups = batches(lengths, 1024)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= 1024
    assert batches([], 10) == []


def test_print_is_the_version_s_own(base: Base, versions: Versions, folder: Path, tmp_path: Path) -> None:
    prints = {name: finish(take_fingerprint(base, versions, name))[0] for name in ("base", "a-v1", "a-v2")}
    assert len({print_.digest for print_ in prints.values()}) == 3
    again = Versions(load_base(folder, device="cpu", dtype="float32"))
    again.load("other-name", write_adapter(tmp_path / "again", folder, seed=1))
    repeated, pauses = finish(take_fingerprint(again.base, again, "other-name"))
    assert repeated == prints["a-v1"]
    assert pauses >= LENGTH, "answers must be able to go on between its passes"
    assert [print_.files for print_ in prints.values()] == [
        base.digest, *(versions.loaded[name].digest for name in ("a-v1", "a-v2"))
    ]  # fmt: skip
    assert {print_.place for print_ in prints.values()} == {describe_place("cpu", base.dtype)}


def test_a_place_names_what_rounds_the_numbers(tmp_path: Path) -> None:
    told = describe_place("cpu", torch.bfloat16)
    assert torch.__version__ in told and "transformers" in told and told.endswith("bfloat16")
    assert describe_place("cpu", torch.float32) != told
    listing = tmp_path / "cpuinfo"
    listing.write_text("model name\t: Some Processor\ncpu family\t: 6\nmodel\t\t: 143\nstepping\t: 8\nmodel\t\t: 1\n")
    assert describe_processor(listing).startswith("Some Processor 6/143/8")
    assert describe_processor(tmp_path / "none"), "other systems have no such list"


def test_a_print_of_prompts_together_is_that_of_each_alone(base: Base, versions: Versions) -> None:
    together, _ = finish(take_fingerprint(base, versions, "a-v1"))
    alone = [finish(take_fingerprint(base, versions, "a-v1", [prompt]))[0] for prompt in PROMPTS]
    assert together.tokens == tuple(one.tokens[0] for one in alone)
    for left, right in zip(together.logprobs, (one.logprobs[0] for one in alone), strict=True):
        assert left == pytest.approx(right, abs=0.0011), "but for the rounding of the last decimal"


def test_a_print_goes_before_scores_and_a_few_passes_at_a_time(base: Base, versions: Versions) -> None:
    engine = Engine(lambda: base, time.monotonic)
    engine.base, engine.versions, engine.status = base, versions, "ready"
    engine.decoder = Decoder(base, versions, time.monotonic)
    scores = engine.score("a-v1", [([5], [6, 7])] * 200)
    alone, _ = finish(take_fingerprint(base, versions, "a-v2"))
    told = engine.fingerprint("a-v2")
    turns = 0
    while not told.done():
        assert engine.turn()
        turns += 1
    assert told.result() == alone
    assert not scores.done()
    assert turns == LENGTH // PRINT_PASSES + 1, "answers get a step after every few passes"
    while not scores.done():
        assert engine.turn()
    assert len(scores.result()) == 200


def test_a_print_waits_for_first_tokens_but_not_for_long() -> None:
    now = [0.0]
    engine = Engine(lambda: None, lambda: now[0])  # type: ignore[arg-type, return-value]
    engine.decoder = SimpleNamespace(reading=None)  # type: ignore[assignment]
    steps = iter(())
    proof, scores = Task(steps, Future(), PRINT_PASSES, 0.0), Task(steps, Future(), 1, 0.0)  # type: ignore[arg-type]
    assert not engine.postponed(proof)
    engine.waiting.append(SimpleNamespace())  # type: ignore[arg-type]
    assert engine.postponed(proof) and not engine.postponed(scores)
    now[0] = PRINT_PATIENCE
    assert not engine.postponed(proof)
