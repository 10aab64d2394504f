"""What would mend a shift: which pairs are near a topic, how many are wanted, and which exchanges to label."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.mending import LISTED, Mending, mend, sentence

RNG_SEED = 5


def around(axis: int, n: int, rng: np.random.Generator, spread: float = 0.15) -> np.ndarray:
    """Unit vectors (n, 32) around one axis."""
    rows = np.eye(32)[[axis] * n] + spread * rng.normal(size=(n, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_pairs_of_the_topic_are_counted_and_others_are_not() -> None:
    rng = np.random.default_rng(RNG_SEED)
    topic, same, other = around(0, 60, rng), around(0, 100, rng), around(7, 100, rng)
    found = mend("t", topic, np.concatenate([other, same]), share=0.5, run=256, free=[True] * 60)
    assert all(index >= 100 for index in found.near)
    # Nine in ten of the topic's own kind are as near; a failure of this share has a chance under 1 in 10,000.
    assert 75 <= len(found.near) <= 100


def test_what_is_wanted_is_the_topics_share_of_a_run_and_what_lacks_is_labelled() -> None:
    rng = np.random.default_rng(RNG_SEED)
    topic = around(0, 60, rng)
    found = mend("t", topic, around(7, 50, rng), share=0.1, run=256, free=[True] * 60)
    assert (found.wanted, found.near, len(found.label)) == (26, (), 26)
    assert sentence(found, run=256) == "0 of 26 pairs wanted for this topic; label these 26."


def test_the_rows_most_responsible_come_first_and_the_rest_are_spread_over_the_topic() -> None:
    rng = np.random.default_rng(RNG_SEED)
    # One narrow crowd and four loners: labels must not all go to the crowd.
    topic = np.concatenate([around(0, 40, rng, 0.01), around(1, 1, rng), around(2, 1, rng), around(3, 2, rng, 0.3)])
    found = mend("t", topic, topic[:0], share=0.03, run=200, free=[True] * 44, first=[5])
    assert found.label[0] == 5 and len(found.label) == 6
    assert {40, 41, 42, 43} <= set(found.label)
    unled = mend("t", topic, topic[:0], share=0.03, run=200, free=[True] * 44)
    assert unled.label[0] < 40, "without a row to start from, the most usual one comes first"


def test_labelled_prompts_and_held_pairs_are_not_asked_for_again() -> None:
    rng = np.random.default_rng(RNG_SEED)
    topic = np.concatenate([around(0, 10, rng, 0.01), around(1, 10, rng, 0.01), around(2, 10, rng, 0.01)])
    found = mend("t", topic, topic[:10], share=0.055, run=200, free=[i < 10 or i >= 20 for i in range(30)])
    assert found.wanted - len(found.near) == len(found.label) == 1
    assert found.label[0] >= 20, "the part of the topic that neither a pair nor a label covers"


@pytest.mark.parametrize(
    ("wanted", "near", "label", "unlabelled", "told"),
    [
        (40, 12, 28, 30, "12 of 40 pairs wanted for this topic; label these 28."),
        (40, 44, 0, 30, "44 pairs are held for this topic; 40 of 256 would match its share of the traffic."),
        (40, 0, 0, 0, "; no exchange of it is left to label: 40 more must come from new traffic or an import."),
        (90, 0, 40, 70, "0 of 90 pairs wanted for this topic; label these 40 first, then look again."),
        (40, 0, 9, 9, "; label these 9 first, more must come from new traffic."),
    ],
)
def test_the_finding_is_said_in_a_plain_sentence(
    wanted: int, near: int, label: int, unlabelled: int, told: str
) -> None:
    found = Mending("t", wanted, tuple(range(near)), tuple(range(label)), unlabelled)
    assert sentence(found, run=256).endswith(told)


def test_a_single_prompt_is_near_only_to_itself() -> None:
    rng = np.random.default_rng(RNG_SEED)
    topic = around(0, 1, rng)
    assert mend("t", topic, np.concatenate([around(0, 20, rng), topic]), share=0.5, run=4, free=[True]).near == (20,)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 25),
    m=st.integers(0, 12),
    share=st.floats(0, 1),
    run=st.integers(1, 300),
    seed=st.integers(0, 50),
    data=st.data(),
)
def test_only_free_prompts_are_named_once_each_and_never_more_than_lack(
    n: int, m: int, share: float, run: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    free = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    first = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=4))
    topic, held = around(0, n, rng, 0.5), around(0, m, rng, 0.5)
    found = mend("t", topic, held, share=share, run=run, free=free, first=first)
    assert found.wanted == ceil(share * run) and found.unlabelled == sum(free)
    assert len(set(found.label)) == len(found.label) and all(free[index] for index in found.label)
    assert len(found.label) == min(max(found.wanted - len(found.near), 0), LISTED, sum(free))
    assert len(set(found.near)) == len(found.near) and all(0 <= index < m for index in found.near)
