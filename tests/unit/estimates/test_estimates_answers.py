"""What the estimators answer in known cases, when they say that data are missing, and what they refuse."""

import numpy as np
import pytest
from scipy.special import betaln

from core.errors import InvalidInput
from estimates.corrected import corrected_rate
from estimates.means import effective_units, mean, paired_difference
from estimates.proportions import difference, exact_limits, needed, proportion
from estimates.quantiles import quantile
from estimates.sequences import rate_sequence


def test_proportion_gives_the_published_limits():
    # Clopper and Pearson for 10 of 100 and 0 of 20, as tabled by Newcombe (1998) and by the rule 1 - 0.025
    # ** (1/20).
    assert exact_limits(10, 100) == pytest.approx((0.0490, 0.1762), abs=1e-4)
    assert exact_limits(0, 20) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))
    assert exact_limits(20, 20)[1] == 1.0


def test_proportion_says_how_many_more_rows_it_needs():
    e = proportion(2, 7)
    assert (e.value, e.low, e.high, e.n, e.needed) == (None, None, None, 7, 13)
    assert proportion(0, 0, minimum=0).needed == 1


def test_mean_weights_by_the_inverse_of_the_inclusion_probability():
    values = np.repeat([0.0, 1.0], [50, 50])
    e = mean(values, low=0, high=1, probabilities=np.repeat([0.01, 0.03], [50, 50]))
    assert e.value == pytest.approx(0.25)
    assert e.n == 100


def test_mean_is_the_same_in_any_unit():
    values = np.random.default_rng(1).random(80)
    a, b = mean(values, low=0, high=1), mean(10 * values - 5, low=-5, high=5)
    assert (b.value, b.low, b.high) == pytest.approx((10 * a.value - 5, 10 * a.low - 5, 10 * a.high - 5))


def test_mean_of_constant_values_at_a_bound_keeps_a_width_about_three_over_n():
    e = mean(np.zeros(300), low=0, high=1)
    assert e.value == e.low == 0
    assert 3 / 300 < e.high < 6 / 300


def test_copies_of_one_cluster_add_nothing():
    values = np.random.default_rng(2).random(40)
    once = mean(values, low=0, high=1)
    often = mean(np.repeat(values, 6), low=0, high=1, clusters=np.repeat(np.arange(40), 6).tolist())
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))


def test_mean_asks_for_more_when_a_few_rows_carry_the_weight():
    probabilities = np.repeat([0.0001, 1.0], [5, 200])
    e = mean(np.ones(205), low=0, high=1, probabilities=probabilities)
    assert e.value is None
    assert e.needed > 100
    assert effective_units([]) == 0


def test_pairing_takes_the_items_difficulty_out():
    rng = np.random.default_rng(3)
    old = rng.random(200)
    new = np.clip(old + 0.05, 0, 1)
    pairs, apart = paired_difference(new, old), difference(mean(new, low=0, high=1), mean(old, low=0, high=1))
    assert 0 < pairs.low < 0.05 < pairs.high
    assert pairs.high - pairs.low < 0.7 * (apart.high - apart.low)


def test_difference_is_missing_when_one_side_is():
    assert difference(proportion(3, 100), proportion(1, 5)).needed == 15
    assert difference(proportion(1, 5), proportion(3, 100)).value is None


def test_quantile_of_known_ranks():
    e = quantile(np.arange(1, 101), 0.5)
    assert (e.value, e.low, e.high) == (50, 40, 61)


def test_quantile_far_out_needs_more_rows():
    e = quantile(np.arange(50), 0.99)
    assert e.value is None
    assert quantile(np.arange(50 + e.needed), 0.99).value is not None


def test_equal_probabilities_leave_the_median_where_it_is():
    values = np.random.default_rng(4).exponential(size=301)
    plain, weighted = quantile(values, 0.5), quantile(values, 0.5, probabilities=np.full(301, 0.2))
    assert weighted.value == plain.value
    assert weighted.low < plain.value < weighted.high


def test_weighted_quantile_says_missing_when_it_may_lie_beyond_every_value():
    values = np.random.default_rng(5).exponential(size=80)
    assert quantile(values, 0.95, probabilities=np.full(80, 0.1)).needed == 80
    assert quantile(values, 0.05, probabilities=np.full(80, 0.1)).value is None
    assert quantile(values, 0.5, probabilities=np.full(80, 0.1)).value is not None


def test_corrected_rate_is_rogan_and_gladens():
    e = corrected_rate(200, 1000, sensitivity=(80, 100), specificity=(90, 100))
    assert e.value == pytest.approx((0.2 + 0.9 - 1) / (0.8 + 0.9 - 1))
    assert e.low < e.value < e.high


def test_corrected_rate_is_wider_with_fewer_labels_and_missing_without_a_better_than_chance_detector():
    few = corrected_rate(200, 1000, sensitivity=(40, 50), specificity=(45, 50))
    many = corrected_rate(200, 1000, sensitivity=(800, 1000), specificity=(900, 1000))
    assert few.high - few.low > 1.5 * (many.high - many.low)
    assert corrected_rate(200, 1000, sensitivity=(30, 60), specificity=(30, 60)).value is None
    assert corrected_rate(2, 10, sensitivity=(9, 10), specificity=(60, 60)).needed == 10


def test_rate_sequence_inverts_the_mixture_and_is_wider_than_a_single_look():
    e, once = rate_sequence(30, 100), proportion(30, 100)
    for limit in (e.low, e.high):
        evidence = betaln(30.5, 70.5) - betaln(0.5, 0.5) - 30 * np.log(limit) - 70 * np.log(1 - limit)
        assert evidence == pytest.approx(np.log(20), abs=1e-6)
    assert 1.2 < (e.high - e.low) / (once.high - once.low) < 2
    assert (rate_sequence(0, 50).low, rate_sequence(50, 50).high) == (0.0, 1.0)
    assert 0 < rate_sequence(0, 50).high < 0.25
    assert rate_sequence(1, 5).needed == 15


def test_needed_grows_with_precision_and_counts_what_is_there():
    assert needed(0.05) == 385
    assert needed(0.05, n=300) == 85
    assert needed(0.05, n=1000) == 0
    assert needed(0.01, rate=0.01) < needed(0.01)


@pytest.mark.parametrize(
    "call",
    [
        lambda: proportion(3, 2),
        lambda: proportion(-1, 2),
        lambda: mean([0.5, 2.0], low=0, high=1),
        lambda: mean([0.5, float("nan")], low=0, high=1),
        lambda: mean([0.5], low=1, high=1),
        lambda: mean([0.5, 0.5], low=0, high=1, probabilities=[0.5, 0.0]),
        lambda: mean([0.5, 0.5], low=0, high=1, probabilities=[0.5]),
        lambda: mean([0.5, 0.5], low=0, high=1, clusters=["a"]),
        lambda: paired_difference([1, 0], [1]),
        lambda: quantile([1.0, float("inf")], 0.5),
        lambda: quantile([1.0, 2.0], 1.0),
        lambda: corrected_rate(5, 4, sensitivity=(1, 1), specificity=(1, 1)),
        lambda: needed(0.0),
        lambda: rate_sequence(4, 3),
    ],
)
def test_impossible_input_is_refused_with_a_remedy(call):
    with pytest.raises(InvalidInput) as refusal:
        call()
    assert refusal.value.remedy
