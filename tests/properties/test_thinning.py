"""Which keys are read: one of each block, the same whichever way they are listed, and each as likely as any other."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from core.thinning import EVERY, Thinning

rules = st.builds(Thinning, st.integers(1, 50), st.integers(0, 2**32))


@given(rules, st.integers(0, 500), st.integers(0, 500), st.integers(1, 40))
def test_the_keys_listed_are_those_held(rule, one, other, limit):
    low, high = sorted((one, other))
    held = [key for key in range(low, high + 1) if rule.holds(key)]
    assert rule.after(low - 1, high, limit) == held[:limit]
    assert rule.before(high, low, limit) == held[::-1][:limit]


@given(rules, st.integers(0, 500))
def test_of_each_block_one_key_is_read(rule, block):
    keys = range(block * rule.one_in, (block + 1) * rule.one_in)
    assert [key for key in keys if rule.holds(key)] == [rule.drawn(block)]


@given(rules)
def test_a_rule_survives_its_epochs_details(rule):
    assert Thinning.of({"thinning": rule.as_json()}) == rule
    assert Thinning.of({}) == EVERY and EVERY.after(3, 9, 99) == [4, 5, 6, 7, 8, 9]


def test_every_place_of_a_block_is_as_likely():
    """8,000 blocks of 8: a chi-square beyond its quantile of 1 - 1e-5 would be chance once in 100,000 seeds."""
    rule = Thinning(8, seed=5)
    places = Counter(rule.drawn(block) % 8 for block in range(8_000))
    assert sum((places[i] - 1_000) ** 2 / 1_000 for i in range(8)) < chi2.ppf(1 - 1e-5, 7)
