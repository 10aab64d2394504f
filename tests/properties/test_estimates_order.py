"""Whatever the sample: limits enclose the value, stay in bounds, and more of the same narrows them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from estimates.means import mean
from estimates.proportions import difference, proportion
from estimates.quantiles import quantile
from estimates.sequences import mean_sequence

counts = st.integers(20, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
values = st.lists(st.floats(0, 1), min_size=20, max_size=80)


@given(counts)
def test_proportion_is_enclosed_and_narrows(count):
    x, n = count
    e, more = proportion(x, n), proportion(4 * x, 4 * n)
    assert 0 <= e.low <= e.value <= e.high <= 1
    assert more.high - more.low < e.high - e.low


@given(counts, counts)
def test_difference_is_antisymmetric(a, b):
    one, other = difference(proportion(*a), proportion(*b)), difference(proportion(*b), proportion(*a))
    assert one.low <= one.value <= one.high
    np.testing.assert_allclose([one.value, one.low, one.high], [-other.value, -other.high, -other.low], atol=1e-12)


@given(values, st.data())
def test_mean_is_enclosed_whatever_the_weights_and_clusters(sample, data):
    n = len(sample)
    probabilities = data.draw(st.lists(st.floats(0.001, 1), min_size=n, max_size=n))
    clusters = data.draw(st.lists(st.integers(0, 60), min_size=n, max_size=n))
    for e in (
        mean(sample, low=0, high=1, probabilities=probabilities, minimum=2),
        mean(sample, low=0, high=1, clusters=clusters, minimum=2),
    ):
        assert e.needed > 0 if e.value is None else 0 <= e.low <= e.value + 1e-12 <= e.high + 2e-12 <= 1 + 3e-12


@given(values, st.floats(0.1, 0.9))
def test_quantile_limits_are_values_of_the_sample(sample, q):
    e = quantile(sample, q)
    if e.value is None:
        assert e.needed > 0
    else:
        assert e.low <= e.value <= e.high
        assert {e.low, e.value, e.high} <= set(sample)


@given(values, st.randoms())
def test_mean_sequence_is_enclosed_mirrored_and_free_of_order(sample, random):
    e, mirrored = mean_sequence(sample, low=0, high=1), mean_sequence([1 - x for x in sample], low=0, high=1)
    assert 0 <= e.low <= e.value + 1e-12 <= e.high + 2e-12 <= 1 + 3e-12
    np.testing.assert_allclose([e.low, e.high], [1 - mirrored.high, 1 - mirrored.low], atol=1e-7)
    again = mean_sequence(random.sample(sample, len(sample)), low=0, high=1)
    np.testing.assert_allclose([e.low, e.high], [again.low, again.high], atol=1e-7)
