"""Calibration error and Brier score: known answers, honest intervals at hard truths, and a naive interval found out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import binom

from core.errors import InvalidInput
from estimates.calibration import brier_score, calibration_error, reliability

pytestmark = pytest.mark.slow  # simulations, together of seconds

RUNS = 250
ENOUGH = int(binom.ppf(1e-5, RUNS, 0.94))
BINS = 5


def preferences(g, n, slope, spread):
    """What a model gives the chosen answers when the log-odds it states are `slope` times too small."""
    stated = np.abs(g.normal(0, spread, n))
    return expit(np.where(g.random(n) < expit(slope * stated), stated, -stated))


def true_error(slope, spread):
    """The binned error by a fine grid of the normal's quantiles."""
    stated = spread * np.abs(np.random.default_rng(0).normal(0, 1, 400_000))
    place = np.minimum(((expit(stated) - 0.5) * 2 * BINS).astype(int), BINS - 1)
    gap = expit(slope * stated) - expit(stated)
    return float(np.abs(np.bincount(place, gap, BINS)).sum() / len(stated))


def covered(interval, truth, draw):
    g = np.random.default_rng(5)
    found = [interval(draw(g)) for _ in range(RUNS)]
    return sum(low - 2e-3 <= truth <= high + 2e-3 for low, high in found)


def ends(p):
    e = calibration_error(p, bins=BINS)
    return e.low, e.high


def bootstrap(p):
    """The percentile bootstrap of the plug-in error, which is never near 0."""
    g = np.random.default_rng(1)
    draws = p[g.integers(0, len(p), (60, len(p)))]
    confidence = np.maximum(draws, 1 - draws)
    place = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    sums = [np.bincount(b, (d > 0.5) - c, BINS) for b, d, c in zip(place, draws, confidence, strict=True)]
    return np.quantile(np.abs(sums).sum(axis=1) / len(p), [0.025, 0.975])


@pytest.mark.parametrize(("slope", "spread"), [(1.0, 0.4), (1.0, 3.0), (0.4, 1.5), (0.0, 3.0), (-0.5, 4.0), (2.5, 1.0)])
def test_calibration_error_covers_from_perfect_to_reversed(slope, spread):
    truth = true_error(slope, spread)
    assert covered(ends, truth, lambda g: preferences(g, 120, slope, spread)) >= ENOUGH


def test_the_bootstrap_is_found_out_where_the_model_is_calibrated():
    assert covered(bootstrap, 0.0, lambda g: preferences(g, 120, 1.0, 1.5)) < ENOUGH


def test_pairs_of_one_prompt_count_once():
    truth = true_error(0.3, 1.5)
    names = np.repeat(np.arange(60), 4).tolist()

    def interval(p, clusters=None):
        e = calibration_error(np.repeat(p, 4), bins=BINS, clusters=clusters)
        return e.low, e.high

    def draw(g):
        return preferences(g, 60, 0.3, 1.5)

    assert covered(lambda p: interval(p, names), truth, draw) >= ENOUGH
    assert covered(interval, truth, draw) < covered(lambda p: interval(p, names), truth, draw)


def test_the_error_of_a_hundredfold_sample_is_the_true_one():
    e = calibration_error(preferences(np.random.default_rng(3), 40_000, 0.4, 1.5), bins=BINS)
    assert e.value == pytest.approx(true_error(0.4, 1.5), abs=0.01)
    assert e.high - e.low < 0.02


def test_known_answers():
    coin = np.full(50, 0.5)
    assert (brier_score(coin).value, calibration_error(coin).value) == (0.25, 0.0)
    sure = np.repeat([0.999, 0.001], [30, 30])
    assert brier_score(sure).value == pytest.approx(0.499, abs=1e-3)
    assert calibration_error(sure).low > 0.2
    (only,) = reliability(sure, bins=10)
    assert (only.n, only.low, only.high, only.right.value) == (60, 0.95, 1.0, 0.5)
    assert only.confidence == pytest.approx(0.999)
    assert [b.n for b in reliability([0.52, 0.48, 0.77], bins=10)] == [2, 1]


def test_too_few_pairs_say_how_many_more_and_wrong_numbers_are_refused():
    e = calibration_error([0.7] * 12)
    assert (e.value, e.n, e.needed) == (None, 12, 8)
    assert calibration_error([0.7] * 40, clusters=["one"] * 40).value is None
    assert calibration_error([]).needed == 20
    for wrong in ([1.2] * 30, [float("nan")] * 30):
        with pytest.raises(InvalidInput):
            calibration_error(wrong)
    with pytest.raises(InvalidInput):
        calibration_error([0.7] * 30, bins=40)


@given(st.lists(st.floats(0, 1), min_size=20, max_size=60), st.integers(1, 6))
def test_limits_enclose_the_value_and_the_order_does_not_matter(p, bins):
    e, turned = calibration_error(p, bins=bins), calibration_error(p[::-1], bins=bins)
    assert 0 <= e.low <= e.value <= e.high <= 1
    assert (turned.value, turned.low, turned.high) == pytest.approx((e.value, e.low, e.high), abs=1e-9)
