"""Conformal ranks: the bag equals counting by hand, p-values are uniform with any ties, and no stratum is judged by
another's.
"""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from monitors.metrics import Unit
from monitors.rhythm import runs
from monitors.statistics.conformal import STRATUM_MINIMUM, UNDECLARED, Bag, novelty_mark
from monitors.statistics.rates import RateTest

scores = st.lists(st.integers(-3, 3), min_size=1, max_size=40)


@given(scores, scores, st.floats(0, 1, exclude_max=True))
def test_ranks_equal_counting_by_hand(calm, stream, luck):
    bag = Bag([calm])
    seen = list(calm)
    for score in stream:
        [p] = bag.add([score], [luck])
        seen.append(score)
        above, equal = sum(s > score for s in seen), sum(s == score for s in seen)
        assert p == (above + luck * equal) / len(seen)
        assert bag.columns[0] == sorted(seen)


def test_p_values_are_uniform_and_independent_with_heavy_ties():
    """Three values only; 400 bags of 30 and 20 more each. A Kolmogorov p-value below 1e-5 would be chance
    once in 100,000.
    """
    rng = np.random.default_rng(12)
    p = np.empty((400, 20))
    for run in range(400):
        values = rng.choice(3, 50, p=[0.7, 0.25, 0.05]).tolist()
        bag = Bag([values[:30]])
        p[run] = [bag.add([v], [rng.random()])[0] for v in values[30:]]
    assert kstest(p.ravel(), "uniform").pvalue > 1e-5
    assert abs(np.corrcoef(p[:, :-1].ravel(), p[:, 1:].ravel())[0, 1]) < 4.5 / np.sqrt(p[:, 1:].size)


AT = datetime(2026, 1, 5, tzinfo=UTC)
declared = ["day", "night", "weekend", UNDECLARED]
blocks = st.lists(st.tuples(st.sampled_from(declared), st.integers(1, 140)), min_size=1, max_size=6)


@given(blocks, st.dictionaries(st.sampled_from(declared), st.integers(0, 130)))
def test_a_stratum_is_judged_once_it_has_its_own_hundred_and_not_before(order, sizes):
    units = [Unit(i, i, AT, stratum=name) for i, name in enumerate(name for name, n in order for _ in range(n))]
    cut = runs(units, sizes)
    assert [unit for _, some in cut for unit in some] == units, "each unit fills or is judged, in its order"
    assert all(one != other for (one, _), (other, _) in pairwise(cut)) and all(s for _, s in cut)
    counts = Counter(sizes)
    for judged, some in cut:
        for unit in some:
            assert judged == (unit.stratum == UNDECLARED or counts[unit.stratum] >= STRATUM_MINIMUM)
            counts[unit.stratum] += 1


@settings(max_examples=20)
@given(blocks, st.integers(0, 2**32), st.integers(20, 200))
def test_how_units_are_cut_into_calls_changes_no_look(order, seed, size):
    rng = np.random.default_rng(seed)
    units = [
        Unit(i, i, AT, value=float(rng.random() < 0.2), stratum=name)
        for i, name in enumerate(name for name, n in order for _ in range(n))
    ]
    whole, parts = (
        RateTest.fit([0.0] * 30 + [1.0] * 4, alpha=0.1, seed=1, horizon=2000, strata=["day"] * 34) for _ in range(2)
    )
    read(whole, units)
    for start in range(0, len(units), size):
        read(parts, units[start : start + size])
    assert whole.to_dict() == parts.to_dict()


def read(test, units):
    """Let the test judge or take in the units; returns the p-values of those judged."""
    out = []
    for judged, some in runs(units, test.sizes):
        given = [unit.value for unit in some], [unit.stratum for unit in some]
        out += [look.p for look in test.update(*given)] if judged else test.fill(*given) or []
    return out


def test_p_values_after_a_filled_stratum_are_uniform_and_independent():
    """40 streams whose nights, unknown to the reference, are seven times the days; false by chance as above."""
    rng = np.random.default_rng(3)
    p = np.empty((40, 100))
    for run in range(40):
        test = RateTest.fit(rng.random(100) < 0.1, alpha=0.1, seed=run, horizon=1000, strata=["day"] * 100)
        night = [Unit(i, i, AT, value=float(rng.random() < 0.7), stratum="night") for i in range(150)]
        day = [Unit(i, i, AT, value=float(rng.random() < 0.1), stratum="day") for i in range(50)]
        p[run] = read(test, [*night, *day])
    assert kstest(p.ravel(), "uniform").pvalue > 1e-5
    assert abs(np.corrcoef(p[:, :-1].ravel(), p[:, 1:].ravel())[0, 1]) < 4.5 / np.sqrt(p[:, 1:].size)


@given(st.lists(st.integers(0, 1000), min_size=20, max_size=300))
def test_novelty_mark_is_exceeded_by_at_most_a_twentieth_of_the_bag(values):
    mark = novelty_mark(np.array(values), 0.05)
    assert sum(v > mark for v in values) <= 0.05 * (len(values) + 1)
