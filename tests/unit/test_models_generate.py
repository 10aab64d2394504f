"""Batched decoding: rows that join, leave and mix versions answer exactly as they would alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.adapters import Versions
from models.generate import READ_TOGETHER, SLICE, Decoder
from models.load import Base, load_base
from models.requests import Piece, Request, Sampling
from models.sampling import choose
from models.tiny import write_adapter, write_model

PROMPTS = ["Hello", "Where is my parcel?", "x", "A longer question about returning a pair of shoes", "日本語"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def base(folder: Path) -> Base:
    return load_base(folder, device="cpu", dtype="float32")


@pytest.fixture
def versions(base: Base, folder: Path, tmp_path: Path) -> Iterator[Versions]:
    versions = Versions(base)
    for number in (1, 2):
        versions.load(f"shop-v{number}", write_adapter(tmp_path / f"v{number}", folder, seed=number))
    yield versions
    # The adapted layers stay in the shared model: a fresh Versions needs a fresh routing in them.
    for module in versions.loaded["shop-v1"].shapes:
        parent, _, leaf = module.rpartition(".")
        owner = base.model.get_submodule(parent)
        setattr(owner, leaf, getattr(owner, leaf).linear)


def decoder(base: Base, versions: Versions, **settings: int) -> Decoder:
    ticks = itertools.count()
    return Decoder(base, versions, lambda: float(next(ticks)), **settings)


def ask(
    base: Base, prompt: str, version: str = "base", *, tokens: int = 12, **sampling: object
) -> tuple[Request, list[Piece]]:
    pieces: list[Piece] = []
    ids = base.tokenizer(prompt, add_special_tokens=False).input_ids
    settings = Sampling(max_tokens=tokens, **{"temperature": 0.0, **sampling})  # type: ignore[arg-type]
    return Request(version, ids, settings, pieces.append), pieces


def drain(decoder: Decoder) -> None:
    while decoder.step():
        pass


def alone(base: Base, versions: Versions, prompt: str, version: str = "base", **settings: object) -> list[int]:
    request, _ = ask(base, prompt, version, **settings)  # type: ignore[arg-type]
    one = decoder(base, versions)
    one.admit([request])
    drain(one)
    return request.ids


def test_single_row_is_transformers_greedy(base: Base, versions: Versions) -> None:
    import torch

    for prompt in PROMPTS:
        ids = torch.tensor([base.tokenizer(prompt, add_special_tokens=False).input_ids])
        whole = base.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0
        )
        assert alone(base, versions, prompt) == whole[0, ids.shape[1] :].tolist()


def test_batch_answers_as_each_row_alone(base: Base, versions: Versions) -> None:
    expected = [alone(base, versions, prompt) for prompt in PROMPTS]
    asked = [ask(base, prompt) for prompt in PROMPTS]
    batch = decoder(base, versions)
    batch.admit([request for request, _ in asked])
    drain(batch)
    assert [request.ids for request, _ in asked] == expected
    for request, pieces in asked:
        assert pieces[-1].finish in ("length", "stop")
        text = "".join(piece.text for piece in pieces)
        assert text == base.tokenizer.decode(request.ids, skip_special_tokens=True)
        assert pieces[-1].tokens == len(request.ids)


def test_rows_of_three_versions_join_a_running_batch(base: Base, versions: Versions) -> None:
    plan = [
        (prompt, version, 4 + 7 * place)
        for place, (prompt, version) in enumerate(
            zip(PROMPTS, ["base", "shop-v2", "shop-v1", "base", "shop-v1"], strict=True)
        )
    ]
    expected = [alone(base, versions, prompt, version, tokens=tokens) for prompt, version, tokens in plan]
    assert len({tuple(ids[:4]) for ids in expected}) > 2
    asked = [ask(base, prompt, version, tokens=tokens) for prompt, version, tokens in plan]
    batch = decoder(base, versions)
    for request, _ in asked:
        batch.admit([request])
        batch.step()
        batch.step()
    drain(batch)
    assert [request.ids for request, _ in asked] == expected


def test_new_request_for_another_version_gets_its_first_token_at_once(base: Base, versions: Versions) -> None:
    batch = decoder(base, versions)
    batch.admit([ask(base, prompt, tokens=200)[0] for prompt in PROMPTS])
    for _ in range(5):
        batch.step()
    late, pieces = ask(base, "Hi", "shop-v2")
    batch.admit([late])
    batch.step()
    assert len(late.ids) >= 1
    assert pieces


def test_long_prompt_is_read_in_slices_while_others_go_on(base: Base, versions: Versions) -> None:
    words = "parcel " * 120
    expected = alone(base, versions, words)
    running, _ = ask(base, "Hello", tokens=30)
    long, _ = ask(base, words)
    batch = decoder(base, versions)
    batch.admit([running])
    batch.step()
    made = len(running.ids)
    batch.admit([long])
    assert len(long.prompt) > 2 * SLICE
    batch.step()
    assert len(running.ids) > made
    assert not long.ids
    drain(batch)
    assert long.ids == expected


def test_cancelled_row_is_freed_and_the_rest_is_unchanged(base: Base, versions: Versions) -> None:
    expected = alone(base, versions, PROMPTS[1], tokens=20)
    gone, pieces = ask(base, PROMPTS[3], tokens=20)
    kept, _ = ask(base, PROMPTS[1], tokens=20)
    batch = decoder(base, versions)
    batch.admit([gone, kept])
    for _ in range(3):
        batch.step()
    gone.cancel()
    batch.step()
    assert len(batch.rows()) == 1
    assert pieces[-1].finish == "cancelled"
    drain(batch)
    assert kept.ids == expected


def test_cancelled_while_reading_its_prompt(base: Base, versions: Versions) -> None:
    request, pieces = ask(base, "parcel " * 100)
    batch = decoder(base, versions)
    batch.admit([request])
    batch.step()
    request.cancel()
    drain(batch)
    assert [piece.finish for piece in pieces] == ["cancelled"]
    assert batch.rows() == []


def test_stop_string_ends_the_answer_before_it(base: Base, versions: Versions) -> None:
    request, pieces = ask(base, "Hello", tokens=40)
    one = decoder(base, versions)
    one.admit([request])
    drain(one)
    text = "".join(piece.text for piece in pieces)
    stop = text[5:7]
    again, cut = ask(base, "Hello", tokens=40, stops=(stop,))
    one.admit([again])
    drain(one)
    assert cut[-1].finish == "stop"
    assert "".join(piece.text for piece in cut) == text[: text.index(stop)]


def test_seed_decides_a_sampled_answer(base: Base, versions: Versions) -> None:
    def sampled(seed: int) -> list[int]:
        return alone(base, versions, "Hello", temperature=1.0, top_p=0.95, seed=seed, tokens=24)

    assert sampled(3) == sampled(3)
    assert sampled(3) != sampled(4)


def test_seeded_answer_does_not_depend_on_its_neighbours(base: Base, versions: Versions) -> None:
    expected = alone(base, versions, "Hello", temperature=0.9, top_p=0.9, seed=7)
    seeded, _ = ask(base, "Hello", temperature=0.9, top_p=0.9, seed=7)
    other, _ = ask(base, PROMPTS[3], "shop-v1", temperature=1.0, seed=8)
    batch = decoder(base, versions)
    batch.admit([seeded, other])
    drain(batch)
    assert seeded.ids == expected


def test_room_counts_rows_and_cache(base: Base, versions: Versions) -> None:
    waiting = [ask(base, "x" * 10, tokens=90)[0] for _ in range(5)]
    assert decoder(base, versions, rows=3).room(waiting) == 3
    assert decoder(base, versions, tokens=200).room(waiting) == 2
    assert decoder(base, versions, tokens=10).room(waiting) == 1, "one answer always fits an empty decoder"


def test_prompts_are_read_together_only_while_they_are_short(base: Base, versions: Versions) -> None:
    (short, _), (long, _) = ask(base, "ab"), ask(base, "word " * READ_TOGETHER)
    batch = decoder(base, versions, rows=999)
    assert batch.room([short, short]) == 2
    assert batch.room([long, short]) == batch.room([short, long]) == 1
    assert batch.room([short] * 999) == READ_TOGETHER // len(short.prompt)


def test_timing_follows_the_clock(base: Base, versions: Versions) -> None:
    request, pieces = ask(base, "Hello", tokens=3)
    one = decoder(base, versions)
    one.admit([request])
    drain(one)
    timing = pieces[-1].timing
    assert timing is not None
    assert 0 <= timing.queue_ms < timing.first_token_ms < timing.total_ms


def test_rows_that_are_computed_together_share_what_it_took(base: Base, versions: Versions) -> None:
    """A pass takes a second here: one reads the prompt, each further token takes one more."""

    def computed(*asked: tuple[Request, list[Piece]]) -> list[float]:
        passes = itertools.count()
        one = Decoder(base, versions, lambda: 0.0, effort=lambda: float(next(passes)))
        one.admit([request for request, _ in asked])
        drain(one)
        return [pieces[-1].timing.compute_ms for _, pieces in asked if pieces[-1].timing]

    assert computed(ask(base, "Hello", tokens=3)) == [3000.0]
    assert computed(ask(base, "Hello", tokens=3), ask(base, "Hello", tokens=1)) == [2500.0, 500.0]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.8), (1.5, 0.3)])
def test_draws_follow_the_distribution(temperature: float, top_p: float) -> None:
    import torch

    logits = torch.tensor([2.0, 1.0, 0.5, -1.0, -9.0])
    spread = torch.softmax(logits / temperature, -1).tolist()
    kept, total = [], 0.0
    for value in spread:
        kept.append(value)
        total += value
        if total >= top_p:
            break
    source = random.Random(11)
    count = 4000
    drawn = [choose(logits, temperature, top_p, source) for _ in range(count)]
    assert max(drawn) < len(kept)
    for index, value in enumerate(kept):
        share = value / total
        # five standard errors: a false failure has a chance under 1e-6
        assert abs(drawn.count(index) / count - share) <= 5 * (share * (1 - share) / count) ** 0.5 + 1e-9


def test_wide_top_p_falls_back_to_the_whole_vocabulary() -> None:
    import torch

    source = random.Random(5)
    drawn = {choose(torch.zeros(5000), 1.0, 0.99, source) for _ in range(600)}
    assert max(drawn) > 4000
