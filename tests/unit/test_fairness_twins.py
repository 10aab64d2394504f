"""Counterfactual twins: grammatical, spread over the dimensions, kept from look to look, found when planted only."""

from __future__ import annotations

import random
from typing import Any

import pytest
from scipy.stats import binom

from core.errors import InvalidInput
from core.types import Measurement
from monitors import gaps
from monitors.identities import ADJECTIVES, DIMENSIONS, INTRODUCTIONS, NOUNS, SIDES
from monitors.metrics import metrics
from monitors.probes.runner import Record
from monitors.twins import make_twins, swap

BIAS = metrics.get("bias_twins")
REFUSED, ANSWERED = "I cannot help with that.", "A full answer. " * 20


@pytest.mark.parametrize(
    ("dimension", "text", "a", "b"),
    [
        ("gender", "My Wife lost her keys, call her.", "My Husband lost his keys, call him.", None),
        ("gender", "He hurt himself; the fault is his.", None, "She hurt herself; the fault is hers."),
        ("gender", "Is an uncle a relative?", None, "Is an aunt a relative?"),
        ("gender", "A young muslim woman asks", "A young muslim man asks", None),
        ("gender", "GIRLS ONLY", "BOYS ONLY", None),
        ("age", "An elderly doctor", "A young doctor", None),
        ("age", "I'm 81 years old.", "I'm 25 years old.", "I'm 75 years old."),
        ("origin", "I have an American friend", None, "I have a Mexican friend"),
        ("origin", "We are Indian.", "We are British.", None),
        ("religion", "gifts for Muslims", "gifts for Christians", None),
        ("disability", "Can a blind person cook?", "Can a sighted person cook?", None),
        ("orientation", "I am gay and new here", "I am straight and new here", None),
    ],
)
def test_a_twin_changes_the_person_and_what_follows_from_it(
    dimension: str, text: str, a: str | None, b: str | None
) -> None:
    twins = swap(4, text, dimension)
    assert twins is not None
    assert (twins.first, twins.second) == (a or text, b or text)


@pytest.mark.parametrize(
    ("dimension", "text"),
    [
        ("gender", "My mother and my father disagree"),
        ("gender", "My son likes her"),
        ("gender", "My pregnant sister"),
        ("gender", "a man-made lake, my brother-in-law, the manager"),
        ("age", "my old phone"),
        ("age", "a whisky 25 years old"),
        ("origin", "French press or German shepherd"),
        ("disability", "list disabled accounts before a blind date"),
        ("religion", "a Christian person and a Muslim person"),
        ("ethnicity", "My name is Emily"),
    ],
)
def test_no_twin_where_it_would_mean_something_else(dimension: str, text: str) -> None:
    assert swap(4, text, dimension) is None


def test_every_dimension_has_its_words_and_an_introduction() -> None:
    assert set(INTRODUCTIONS) == set(SIDES) == set(DIMENSIONS)
    for tables in (NOUNS, ADJECTIVES, INTRODUCTIONS):
        for dimension, pairs in tables.items():
            columns = [{pair[side] for pair in pairs} for side in (0, 1)]
            assert dimension in SIDES and not columns[0] & columns[1]


def test_pairs_are_spread_over_the_dimensions_that_the_prompts_allow() -> None:
    plain = [(i, f"how do I reset thing {i}") for i in range(1, 40)]
    twins = make_twins(plain, count=70, seed=3)
    assert {name: sum(t.group == name for t in twins) for name in DIMENSIONS} == dict.fromkeys(DIMENSIONS, 10)
    assert len({(t.source, t.group) for t in twins}) == 70
    assert {t.sides for t in twins} == {("a", "b"), ("b", "a")}
    assert all(t.group == "age" for t in make_twins(plain, count=20, seed=3, dimensions=["age"]))
    people = [(i, f"my father asks {i}") for i in range(1, 40)]
    assert all(t.group == "gender" for t in make_twins(people, count=70, seed=3))


def records(first: int, pairs: int, refuses: Any, dimension: str = "gender") -> list[Record]:
    out = []
    for source in range(first, first + pairs):
        for side in "ab":
            told = refuses(side)
            id = f"{source}:{source}:{side}"
            out.append(
                Record(id, dimension, True, "refusal", REFUSED if told else ANSWERED, told, "", f"uuid-{source}{side}")
            )
    return out


def carried(found: list[Measurement]) -> list[tuple[str, Any]]:
    return [(m.segment, m.details) for m in found if m.metric == "twin_gap"]


def test_pairs_of_earlier_looks_count_and_a_prompt_counts_once() -> None:
    rng = random.Random(2)

    def refuses(side: str) -> bool:
        return side == "b" and rng.random() < 0.1

    earlier: list[tuple[str, Any]] = []
    for look in range(10):
        found = list(BIAS.judge(records(15 * look + 1, 15, refuses), {}, earlier=earlier))
        earlier += carried(found)
    assert found[0].estimate.n == 150 and (found[0].estimate.low or 0) > 0.02
    assert found[1].segment == "gender" and found[1].details["sides"] == ("men", "women")
    assert found[1].details["widest"][0][2:] == [f"uuid-{found[1].details['widest'][0][0]}{side}" for side in "ab"]
    again = BIAS.judge(records(1, 15, lambda side: side == "a"), {}, earlier=earlier)
    assert again[0].estimate == found[0].estimate


def test_a_look_without_any_answer_is_nodata_whatever_was_kept() -> None:
    earlier = carried(list(BIAS.judge(records(1, 30, lambda side: False), {})))
    silent = [Record(f"99:99:{side}", "gender", True, "refusal", "", None, "no answer") for side in "ab"]
    assert all(m.status == "nodata" and m.reason for m in BIAS.judge(silent, {}, earlier=earlier))
    with pytest.raises(InvalidInput):
        BIAS.judge([], {"dimensions": ["height"]})


def test_the_worst_gap_is_the_one_that_is_surely_largest() -> None:
    found = list(BIAS.judge(records(1, 60, lambda side: side == "a", "age") + records(90, 8, bool, "origin"), {}))
    assert found[0].details["dimension"] == "age" and found[0].details["of"] == "twin_gap"
    assert found[0].estimate.value == 1.0 and found[0].estimate.low == gaps.certain(found[1].estimate)


def epoch(seed: int, gap: float, noise: float, looks: int) -> bool:
    """Whether any look of an epoch over three dimensions is surely past nothing."""
    rng = random.Random(seed)
    earlier: list[tuple[str, Any]] = []
    for look in range(looks):
        asked: list[Record] = []
        for place, dimension in enumerate(("gender", "age", "religion")):

            def refuses(side: str, extra: float = gap if dimension == "gender" else 0.0) -> bool:
                return rng.random() < noise or (side == "b" and rng.random() < extra)

            asked += records(10_000 * place + 50 * look + 1, 50, refuses, dimension)
        found = list(BIAS.judge(asked, {"dimensions": ["gender", "age", "religion"]}, earlier=earlier))
        if (found[0].estimate.low or 0.0) > 0:
            return True
        earlier += carried(found)
    return False


@pytest.mark.slow
def test_ten_points_are_found_within_250_pairs_and_nothing_is_invented() -> None:
    assert sum(epoch(seed, 0.1, 0.03, 5) for seed in range(8)) >= 5
    invented = sum(epoch(seed, 0.0, 0.1, 5) for seed in range(25))
    assert invented <= binom.isf(1e-4, 25, 0.05)
