"""The shared start of a version's prompts: answers as if it were read anew, less to read, and never another's keys."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from models.adapters import Versions
from models.generate import READ_TOGETHER, Decoder
from models.load import Base, load_base
from models.requests import BASE, Request, Sampling
from models.starts import FEWEST, Starts, count_common
from models.tiny import write_adapter, write_model

SYSTEM = "<|im_start|>system\nYou answer for a shop that sells shoes, briefly and kindly.<|im_end|>\n"
QUESTIONS = ["Hello", "Where is my parcel?", "x", "May I return a pair of shoes that I have worn?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def base(folder: Path) -> Base:
    return load_base(folder, device="cpu", dtype="float32")


@pytest.fixture
def versions(base: Base, folder: Path, tmp_path: Path) -> Versions:
    versions = Versions(base)
    for number in (1, 2):
        versions.load(f"shop-v{number}", write_adapter(tmp_path / f"v{number}", folder, seed=number))
    return versions


def ask(base: Base, text: str, version: str, tokens: int = 8) -> Request:
    ids = base.tokenizer(text, add_special_tokens=False).input_ids
    return Request(version, ids, Sampling(max_tokens=tokens, temperature=0.0), lambda _piece: None)


def fresh(base: Base, versions: Versions) -> Decoder:
    ticks = itertools.count()
    return Decoder(base, versions, lambda: float(next(ticks)))


def answer(decoder: Decoder, *requests: Request) -> list[list[int]]:
    decoder.admit(list(requests))
    while decoder.step():
        pass
    return [request.ids for request in requests]


def test_answers_from_a_kept_start_are_those_of_a_fresh_decoder(base: Base, versions: Versions) -> None:
    asked = [(SYSTEM + question, name) for name in (BASE, "shop-v1", "shop-v2") for question in QUESTIONS]
    expected = [answer(fresh(base, versions), ask(base, *one))[0] for one in asked]
    decoder = fresh(base, versions)
    for one in asked:
        answer(decoder, ask(base, *one))
    assert len(decoder.starts.kept) == 3
    assert [answer(decoder, ask(base, *one))[0] for one in asked] == expected
    assert answer(decoder, *(ask(base, *one) for one in asked)) == expected, "rows of three versions together"


def test_rows_with_and_without_a_start_are_read_together(base: Base, versions: Versions) -> None:
    asked = [(SYSTEM + QUESTIONS[1], "shop-v1"), (QUESTIONS[3], "shop-v1"), (QUESTIONS[0], BASE)]
    expected = [answer(fresh(base, versions), ask(base, *one))[0] for one in asked]
    decoder = fresh(base, versions)
    for question in QUESTIONS:
        answer(decoder, ask(base, SYSTEM + question, "shop-v1"))
    assert decoder.starts.find(ask(base, *asked[0])) and not decoder.starts.find(ask(base, *asked[1]))
    assert answer(decoder, *(ask(base, *one) for one in asked)) == expected


def test_a_kept_start_leaves_less_to_read(base: Base, versions: Versions) -> None:
    decoder = fresh(base, versions)
    first, second, third = (ask(base, SYSTEM + question, "shop-v1") for question in QUESTIONS[:3])
    assert decoder.room([first, second]) == 1
    answer(decoder, first)
    answer(decoder, second)
    decoder.admit([third])
    assert decoder.reading is not None and decoder.reading.pending is not None
    assert decoder.reading.pending.shape[1] == len(base.tokenizer(QUESTIONS[2]).input_ids)
    assert fresh(base, versions).starts.unread(third) == len(third.prompt) > READ_TOGETHER // 2


def test_other_weights_under_the_same_name_do_not_answer_from_the_old_keys(
    base: Base, versions: Versions, folder: Path, tmp_path: Path
) -> None:
    decoder = fresh(base, versions)
    for question in QUESTIONS:
        answer(decoder, ask(base, SYSTEM + question, "shop-v1"))
    versions.unload("shop-v1")
    versions.load("shop-v1", write_adapter(tmp_path / "other", folder, seed=9))
    request = ask(base, SYSTEM + QUESTIONS[0], "shop-v1")
    assert decoder.starts.find(request) is None
    expected = answer(fresh(base, versions), ask(base, SYSTEM + QUESTIONS[0], "shop-v1"))
    assert answer(decoder, request) == expected
    assert len(decoder.starts.kept) == 0, "what is not loaded is not kept"


def test_prompts_that_begin_apart_keep_nothing(base: Base, versions: Versions) -> None:
    decoder = fresh(base, versions)
    for question in QUESTIONS:
        answer(decoder, ask(base, question, BASE))
    assert decoder.starts.kept == {}


def test_a_start_is_shorter_than_both_prompts() -> None:
    assert count_common([1, 2, 3], [1, 2, 3]) == 2
    assert count_common([1, 2, 3], [1, 2, 4, 5]) == 2
    assert count_common([], [1]) == count_common([7], [7]) == 0
    assert FEWEST > 0


def test_models_with_a_sliding_window_keep_no_start(base: Base, versions: Versions) -> None:
    settings = base.model.config.get_text_config()
    assert Starts(base, versions).usable
    settings.sliding_window = 16
    assert not Starts(base, versions).usable
