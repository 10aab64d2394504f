"""The outlook keeps its promise on simulated preferences, heads see no prompt twice, words follow the interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binom

from core.types import Estimate
from estimates.learning import FOLDS, deal, fit_head, gains, hits, outlook, trace

RUNS = 120


def draw(rng, n, signal, d=8):
    """Differences of n pairs of different prompts, labelled by Bradley and Terry at this strength."""
    given_ = rng.normal(size=(n, d))
    turned = rng.random(n) > expit(signal * given_[:, 0])
    given_[turned] *= -1
    return given_


def look(seed, n, signal):
    rng = np.random.default_rng([seed, n])
    rows = draw(rng, n, signal)
    prompts = np.arange(n)
    dealt = deal(prompts, np.full(n, -1), seed=seed)
    return gains(trace(rows, dealt, np.zeros(n, bool)), [prompts.tolist()])


def reached(n, signal):
    """The true gain over a coin of a head on so many pairs, in the mean over draws."""
    rng = np.random.default_rng(99)
    fresh = draw(rng, 20_000, signal)
    return float(np.mean([hits(fresh @ fit_head(draw(rng, n, signal))).mean() for _ in range(40)])) - 0.5


@pytest.mark.slow
@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_both_intervals_cover_the_true_gain_and_nothing_is_promised_without_one(signal):
    n = 200
    now, twice = reached(3 * n // 4, signal), reached(3 * n // 2, signal)
    found = [look(seed, n, signal) for seed in range(RUNS)]
    # With 97.5 % on each side, fewer than this happens less than once in 10,000.
    enough = int(binom.ppf(1e-4, RUNS, 0.95))
    assert sum(one.now.low <= now <= one.now.high for one in found) >= enough
    assert sum(one.twice.low <= twice <= one.twice.high for one in found) >= enough
    words = [outlook(one.now, worth=0.02)[0] for one in found]
    if signal:
        assert "unlikely" not in words and words.count("likely to help") > RUNS // 2
    else:
        assert words.count("likely to help") <= binom.ppf(1 - 1e-4, RUNS, 0.025)


def test_the_head_is_where_its_own_gradient_vanishes_in_both_shapes():
    for n, d in ((60, 6), (6, 60)):
        rows = draw(np.random.default_rng(3), n, 1.5, d)
        weights = fit_head(rows)
        pull = rows.T @ expit(-rows @ weights)
        # At the optimum the pull is the ridge times the weights.
        ridge = float(pull @ weights / (weights @ weights))
        assert ridge > 0
        assert np.abs(pull - ridge * weights).max() < 1e-2 * np.abs(pull).max()
    assert not fit_head(np.zeros((0, 4))).any()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 9)), min_size=1, max_size=60), st.integers(0, 9))
def test_a_prompt_has_one_fold_a_contributor_one_and_smaller_shares_are_inside_larger_ones(rows, seed):
    prompts, people = (np.array(column) for column in zip(*rows, strict=True))
    dealt = deal(prompts, people, seed=seed)
    for kind, fold in ((prompts, dealt.fold), (people, dealt.contributor_fold)):
        assert all(len(set(fold[kind == one])) == 1 for one in set(kind))
    assert (dealt.contributor_fold[people < 0] == -1).all() and (dealt.contributor_fold[people >= 0] >= 0).all()
    assert set(dealt.fold) <= set(range(FOLDS)) and dealt.within(1.0).all()
    assert (dealt.within(0.25) <= dealt.within(0.5)).all()


def test_a_head_never_sees_the_prompt_or_the_contributor_it_judges():
    """A mark that only one prompt, or one contributor, has would give the label away to a head that saw it."""
    n = 96
    rng = np.random.default_rng(5)
    prompts, people = np.repeat(np.arange(n // 2), 2), np.arange(n) % 24
    for marked in (prompts, people):
        names, own = np.unique(marked, return_inverse=True)
        sign = rng.choice([-1.0, 1.0], len(names))
        rows = np.zeros((n, len(names)))
        rows[np.arange(n), own] = sign[own]
        curve = trace(rows, deal(prompts, people, seed=1), np.zeros(n, bool))
        assert not curve.margins.any()


@pytest.mark.parametrize(
    ("value", "low", "high", "word", "more"),
    [
        (0.08, 0.01, 0.15, "likely to help", 0),
        (0.00, -0.01, 0.01, "unlikely", 0),
        (0.05, -0.05, 0.15, "not enough pairs", 300),
        (0.00, -0.04, 0.04, "not enough pairs", 300),
    ],
)
def test_the_words_follow_the_interval_and_say_how_many_more(value, low, high, word, more):
    assert outlook(Estimate(value, low, high, 100, "x"), worth=0.02) == (word, more)


def test_too_few_prompts_are_no_estimate():
    found = look(1, 12, 1.0)
    assert found.now.value is None and found.twice.value is None
    assert outlook(found.now, worth=0.02) == ("not enough pairs", found.now.needed) and found.now.needed == 8
