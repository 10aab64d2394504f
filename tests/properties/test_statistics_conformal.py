"""Conformal ranks: the bag equals counting by hand, p-values are uniform with any ties, strata merge as
declared.
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from monitors.statistics.conformal import OTHER, STRATUM_MINIMUM, Bag, home, merge_strata, novelty_mark

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


names = st.lists(st.sampled_from(["day", "night", "weekend", "holiday"]), min_size=1, max_size=30)


@given(names, st.lists(st.integers(1, 260), min_size=4, max_size=4))
def test_every_calibrated_stratum_is_large_enough_unless_all_are_one(order, sizes):
    strata = [name for name, n in zip(order, sizes * 8, strict=False) for _ in range(n)]
    merged = merge_strata(strata)
    homes = [home(s, merged) for s in strata]
    counts = {h: homes.count(h) for h in set(homes)}
    assert len(counts) == 1 or min(counts.values()) >= STRATUM_MINIMUM
    assert home("never seen", merged) in counts
    assert home(OTHER, merged) in counts


@given(st.lists(st.integers(0, 1000), min_size=20, max_size=300))
def test_novelty_mark_is_exceeded_by_at_most_a_twentieth_of_the_bag(values):
    mark = novelty_mark(np.array(values), 0.05)
    assert sum(v > mark for v in values) <= 0.05 * (len(values) + 1)
