"""Rows of a window and of its reference that may be compared: each part has the same share of both sides."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.matched import matched

PARTS = st.lists(st.sampled_from("abcd"), max_size=60)


@given(PARTS, PARTS)
def test_parts_have_the_same_share_of_both_sides_but_for_rounding(reference, current):
    then, now = matched(reference, current, seed=1)
    assert then == sorted(set(then)) and now == sorted(set(now))
    assert bool(then) == bool(now) == bool(set(reference) & set(current))
    kept = Counter(reference[i] for i in then), Counter(current[i] for i in now)
    for part in set(kept[0]) | set(kept[1]):
        expected = len(then) * kept[1][part] / max(len(now), 1)
        # One row of either side is rounded away, and what is rounded in other parts moves the ratio.
        assert abs(kept[0][part] - expected) <= 4 * (1 + len(then) / max(len(now), 1))


@given(PARTS)
def test_one_part_or_the_same_rows_on_both_sides_lose_nothing(parts):
    assert matched(parts, parts, seed=3) == (list(range(len(parts))),) * 2
    assert matched(["a"] * 5, ["a"] * 3, seed=3) == (list(range(5)), list(range(3)))


def test_a_window_of_nights_is_compared_with_nights():
    reference = ["night" if hour < 6 else "day" for hour in range(24)] * 40
    current = ["night"] * 90 + ["day"] * 2
    then, now = matched(reference, current, seed=1)
    assert [reference[i] for i in then].count("night") == 240
    assert len(now) == 92
    assert [reference[i] for i in then].count("day") == pytest.approx(240 * 2 / 90, abs=1)


@pytest.mark.slow
def test_groups_of_rows_shift_no_more_often_than_promised_where_parts_ask_for_other_things():
    """Nights ask for topic 1 and days for topic 0; windows have other shares of night than the reference. Compared as
    they are, a share of a topic moves in nearly every window; matched, in no more than chance allows.
    """
    from scipy.stats import fisher_exact

    rng = np.random.default_rng(4)

    def moved(match):
        night = [rng.random(200) < 0.3, rng.random(80) < 0.7]
        topic = [rng.random(len(side)) < np.where(side, 0.8, 0.1) for side in night]
        if match:
            kept = matched(*(["n" if one else "d" for one in side] for side in night), seed=int(rng.integers(1 << 30)))
            topic = [side[rows] for side, rows in zip(topic, kept, strict=True)]
        return fisher_exact([[side.sum(), (~side).sum()] for side in topic]).pvalue <= 0.05

    assert sum(moved(False) for _ in range(60)) >= 50
    assert sum(moved(True) for _ in range(300)) <= 33  # a level of 0.05 exceeds this less than once in 10,000
