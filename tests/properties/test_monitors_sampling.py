"""Sampling plans: what is drawn, with which probability, and that the probabilities are true."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from monitors.sampling import draw_all, draw_recent, draw_stratified, draw_uniform

ranges = st.tuples(st.integers(1, 5000), st.integers(1, 3000)).map(lambda pair: (pair[0], pair[0] + pair[1] - 1))
sizes = st.integers(0, 400)
seeds = st.integers(0, 2**32 - 1)


@given(ranges, sizes, seeds, st.floats(0.05, 1))
def test_draws_are_distinct_keys_of_the_range_and_repeat_with_the_seed(
    keys: tuple[int, int], size: int, seed: int, filled: float
) -> None:
    first, last = keys
    count = max(1, int((last - first + 1) * filled))
    for plan in (draw_uniform, draw_recent):
        drawn = plan(first, last, count=count, size=size, seed=seed)
        again = plan(first, last, count=count, size=size, seed=seed)
        assert drawn == again
        assert [d.key for d in drawn] == sorted({d.key for d in drawn})
        assert all(first <= d.key <= last and 0 < d.probability <= 1 for d in drawn)
    assert len(draw_all(first, last)) == last - first + 1


@given(
    st.dictionaries(st.text(max_size=3), st.sets(st.integers(1, 5000), max_size=60).map(sorted), max_size=5),
    sizes,
    seeds,
)
def test_every_stratum_is_seen(strata: dict[str, list[int]], size: int, seed: int) -> None:
    drawn = draw_stratified(strata, size=size, seed=seed)
    keys = Counter(d.key for d in drawn)
    for name, members in strata.items():
        if members and size:
            assert any(key in keys for key in members), name
    assert all(0 < d.probability <= 1 for d in drawn)


@pytest.mark.parametrize("plan", ["uniform", "recent", "stratified"])
def test_stated_probabilities_are_the_frequencies(plan: str) -> None:
    runs, hits, stated = 3000, Counter[int](), {}
    for seed in range(runs):
        if plan == "stratified":
            drawn = draw_stratified({"a": range(100, 140), "b": range(200, 205)}, size=9, seed=seed)
        elif plan == "uniform":
            drawn = draw_uniform(100, 159, count=30, size=8, seed=seed)
        else:
            drawn = draw_recent(100, 159, count=60, size=16, seed=seed)
        for d in drawn:
            hits[d.key] += 1
            stated[d.key] = d.probability
    for key, probability in stated.items():
        deviation = 6 * (probability * (1 - probability) / runs) ** 0.5 + 1e-9
        assert abs(hits[key] / runs - probability) <= deviation


def test_newer_keys_are_drawn_more_densely() -> None:
    drawn = draw_recent(1, 10_000, count=10_000, size=200, seed=3)
    stated = {d.key: d.probability for d in drawn}
    assert stated[max(stated)] > 10 * stated[min(stated)]
    assert sum(1 / p for p in stated.values()) == pytest.approx(10_000, rel=0.01)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(InvalidInput):
        draw_uniform(1, 10, count=10, size=-1, seed=0)
