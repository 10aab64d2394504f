"""Splits by prompt: nothing on both sides, stable, within limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from retrain.pairs.split import normalise, split_pairs
from retrain.training.spec import PairText

PROMPTS = st.lists(st.sampled_from([f"{word} {n}" for word in ("Is it", "why", "Café") for n in range(9)]), min_size=2)


def make(prompts: list[str]) -> list[PairText]:
    return [PairText(str(i), prompt, "a", "b") for i, prompt in enumerate(prompts)]


@given(PROMPTS.filter(lambda p: len({normalise(x) for x in p}) > 1), st.floats(0.01, 0.99), st.integers(0, 99))
def test_no_prompt_is_on_both_sides_and_none_is_lost(prompts, share, seed):
    pairs = make(prompts)
    split = split_pairs(pairs, held_out_share=share, seed=seed)
    trained = {normalise(pair.prompt) for pair in split.train}
    held = {normalise(pair.prompt) for pair in split.held_out}
    assert trained
    assert held
    assert not trained & held
    assert sorted(pair.id for pair in split.train + split.held_out) == sorted(pair.id for pair in pairs)


@given(st.integers(0, 50), st.randoms(use_true_random=False))
def test_the_split_depends_neither_on_order_nor_on_other_pairs(seed, draw):
    pairs = make([f"question {n // 2}" for n in range(40)])
    held = {pair.prompt for pair in split_pairs(pairs, seed=seed).held_out}
    shuffled = draw.sample(pairs, len(pairs))
    assert {pair.prompt for pair in split_pairs(shuffled, seed=seed).held_out} == held
    fewer = split_pairs(pairs[:20], seed=seed)
    early = {pair.prompt for pair in pairs[:20]}
    if held & early and early - held:
        assert {pair.prompt for pair in fewer.held_out} == held & early


@pytest.mark.parametrize(
    "other",
    [
        "what is   THIS",
        "What is this?!",
        "“What is this”",
        "Ｗhat is this",
        ({"role": "user", "content": "what is this"},),
    ],
)
def test_the_same_question_written_differently_is_one_prompt(other):
    assert normalise(other) == normalise("What is this?")


def test_the_role_of_a_message_matters():
    system = ({"role": "system", "content": "what is this"},)
    assert normalise(system) != normalise("what is this")


def test_prompts_of_signs_alone_differ():
    assert normalise("?") != normalise("!")


def test_the_share_is_about_what_was_asked():
    split = split_pairs(make([f"question {n}" for n in range(4000)]), held_out_share=0.25)
    # Binomial(4000, 0.25) leaves these limits with probability below 1e-4.
    assert 880 < len(split.held_out) < 1120


def test_limits_prefer_many_prompts():
    split = split_pairs(make([f"question {n // 4}" for n in range(400)]), max_train=30, max_held_out=10)
    assert len({pair.prompt for pair in split.train}) == len(split.train) == 30
    assert len({pair.prompt for pair in split.held_out}) == len(split.held_out) == 10
    assert split.left_out == 360


def test_one_prompt_cannot_be_split():
    with pytest.raises(InvalidInput, match="1 different prompts"):
        split_pairs(make(["same", "Same!"]))
