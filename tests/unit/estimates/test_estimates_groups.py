"""Groups corrected together: Fisher's test each, and a correction that holds and knows which groups overlap."""

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from estimates.groups import p_values


def slices(*groups):
    """Return the groups, lists of row indices, as the order, starts and sizes that p_values takes."""
    sizes = np.array([len(group) for group in groups])
    return np.concatenate([np.asarray(group) for group in groups]), np.cumsum(sizes) - sizes, sizes


def halves(rows, least=2):
    """Return the rows, their halves, the halves of these and so on: groups that nest as those of a tree do."""
    middle = len(rows) // 2
    return [rows] + (halves(rows[:middle], least) + halves(rows[middle:], least) if middle >= least else [])


def test_alone_each_group_has_fishers_p_value():
    marked = np.random.default_rng(1).random(90) < 0.3
    groups = [list(range(first, last)) for first, last in ((0, 1), (3, 10), (5, 40), (40, 90), (0, 90))]
    alone, _ = p_values(*slices(*groups), marked, seed=1, draws=1)
    for group, p in zip(groups, alone, strict=True):
        inside, all_marked = int(marked[group].sum()), int(marked.sum())
        table = [[inside, len(group) - inside], [all_marked - inside, 90 - len(group) - all_marked + inside]]
        assert p == pytest.approx(fisher_exact(table).pvalue)


def test_by_chance_any_group_is_significant_as_seldom_as_promised_though_one_alone_is_often():
    runs, level, rng = 250, 0.1, np.random.default_rng(2)
    tree = slices(*halves(list(range(64)))[1:])
    found = [p_values(*tree, rng.permutation(np.arange(64) < 16), seed=run, draws=39) for run in range(runs)]
    wrong = sum(corrected.min() <= level for _, corrected in found)
    assert binom.cdf(wrong, runs, level) < 1 - 1e-4
    assert wrong >= 1  # with no false alarm in 250 the correction would be far too careful: probability under 1e-6
    assert sum(alone.min() <= level for alone, _ in found) > 2 * runs * level


def test_groups_of_the_same_rows_and_those_too_small_to_tell_cost_nothing():
    marked = np.arange(120) < 20
    told, *others = [*range(8), 60, 61], *([row] for row in range(30, 110))
    alone, corrected = p_values(*slices(*[told] * 30, *others), marked, seed=3)
    assert alone[0] < 0.001 and np.all(corrected[:30] == corrected[0])
    assert corrected[0] <= 0.002  # by Holm's correction of 110 groups above 0.01
    assert np.all(corrected[30:] > 0.5)


def test_less_clear_groups_are_judged_among_themselves_and_never_more_significant():
    rng = np.random.default_rng(4)
    marked = np.arange(200) < 50
    groups = [rng.choice(200, 10, replace=False).tolist() for _ in range(12)] + [list(range(20)), list(range(45, 60))]
    alone, corrected = p_values(*slices(*groups), marked, seed=4, draws=199)
    order = np.argsort(alone, kind="stable")
    assert np.all(np.diff(corrected[order]) >= 0) and np.all(corrected >= 1 / 200) and np.all(corrected <= 1)
    last = order[-1]  # the least clear group is corrected for itself alone
    again, only = p_values(*slices(groups[last]), marked, seed=4, draws=199)
    assert again[0] == alone[last] and corrected[last] >= only[0]


@pytest.mark.parametrize("marked", [np.zeros(30, bool), np.ones(30, bool)])
def test_rows_all_of_one_kind_tell_nothing(marked):
    alone, corrected = p_values(*slices([0, 1], [2, 3, 4]), marked, seed=5, draws=19)
    assert np.all(alone == 1) and np.all(corrected == 1)


def test_no_groups_have_no_p_values():
    nothing = np.empty(0, np.int64)
    assert [len(found) for found in p_values(nothing, nothing, nothing, np.ones(3, bool), seed=6)] == [0, 0]
