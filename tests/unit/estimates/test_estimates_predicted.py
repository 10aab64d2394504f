"""Prediction-powered means: they cover under any judge, narrow under a good one, and the judge alone is found out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from core.errors import InvalidInput
from estimates.means import mean
from estimates.predicted import predicted_mean

pytestmark = pytest.mark.slow  # simulations, together of seconds

RUNS = 400
ENOUGH = int(binom.ppf(1e-5, RUNS, 0.94))


def rows(g, n, rate, sensitivity, specificity):
    """Labels, and verdicts of a judge who is unsure (one half) of every tenth row."""
    labels = (g.random(n) < rate).astype(float)
    right = g.random(n) < np.where(labels == 1, sensitivity, specificity)
    return np.where(g.random(n) < 0.1, 0.5, np.where(right, labels, 1 - labels)), labels


def covered(interval, truth, *, rate, judge):
    g = np.random.default_rng(3)
    hits = 0
    for _ in range(RUNS):
        verdicts, labels = rows(g, 460, rate, *judge)
        low, high = interval(verdicts[60:], verdicts[:60], labels[:60])
        hits += low - 1e-12 <= truth <= high + 1e-12
    return hits


def ends(*data):
    e = predicted_mean(*data)
    return e.low, e.high


def judge_alone(judged, anchor_judged, anchor_labels):
    e = mean(judged, low=0, high=1)
    return e.low, e.high


@pytest.mark.parametrize("judge", [(0.95, 0.9), (0.9, 0.5), (0.5, 0.5), (0.2, 0.3), (1.0, 1.0)])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.4, 0.9])
def test_any_judge_leaves_the_true_rate_covered(rate, judge):
    assert covered(ends, rate, rate=rate, judge=judge) >= ENOUGH


def test_the_judge_alone_is_found_out():
    assert covered(judge_alone, 0.4, rate=0.4, judge=(0.9, 0.5)) < ENOUGH


def test_a_good_judge_narrows_what_labels_alone_say_and_a_useless_one_changes_nothing():
    g = np.random.default_rng(1)
    verdicts, labels = rows(g, 1060, 0.5, 0.97, 0.97)
    good = predicted_mean(verdicts[60:], verdicts[:60], labels[:60])
    alone = mean(labels[:60], low=0, high=1)
    assert good.high - good.low < 0.75 * (alone.high - alone.low)
    useless = predicted_mean(np.full(1000, 0.5), np.full(60, 0.5), labels[:60])
    assert (useless.value, useless.low, useless.high) == (alone.value, alone.low, alone.high)
    assert useless.n == 1060


def test_too_few_anchors_say_how_many_more():
    e = predicted_mean([1.0] * 100, [1.0] * 5, [1.0] * 5)
    assert (e.value, e.n, e.needed) == (None, 105, 15)
    assert predicted_mean([], [1.0] * 30, [1.0] * 30).value == 1.0
    with pytest.raises(InvalidInput):
        predicted_mean([1.0], [1.0], [])


sides = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=20, max_size=50)


@given(sides, sides, st.data())
def test_limits_enclose_the_value_within_0_and_1(judged, anchors, data):
    labels = data.draw(st.lists(st.floats(0, 1), min_size=len(anchors), max_size=len(anchors)))
    e = predicted_mean(judged, anchors, labels)
    assert -1e-12 <= e.low <= e.value + 1e-12 <= e.high + 2e-12 <= 1 + 3e-12
