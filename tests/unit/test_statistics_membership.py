"""Membership of a set by conformal p-values: the false rate it keeps, the foreign texts it finds, what it refuses."""

import numpy as np
import pytest
from scipy.stats import binom

from core.errors import InvalidInput
from estimates.proportions import exact_limits
from monitors.statistics.membership import Membership, fewest_members, foreign_share


def cloud(rng, n, centre=0.0):
    """Unit-free rows (n, 16) of two clusters around `centre`."""
    rows = rng.normal(size=(n, 16)) + centre
    rows[:, 0] += np.where(rng.random(n) < 0.5, 4, -4)
    return rows.astype(np.float32)


@pytest.mark.parametrize(("n", "level"), [(100, 0.05), (101, 0.2), (160, 0.1)])
def test_members_are_flagged_at_most_at_the_level(n, level):
    """One new member of each of 300 sets, so that flags are independent; the limit is passed once in 10,000."""
    flags = 0
    for seed in range(300):
        rng = np.random.default_rng([seed, n])
        flags += int(Membership.fit(cloud(rng, n), seed=seed).p_values(cloud(rng, 1))[0] <= level)
    assert flags <= binom.ppf(0.9999, 300, level)


def test_the_p_values_of_members_are_uniform_over_sets_up_to_their_grid():
    p = []
    for seed in range(400):
        rng = np.random.default_rng([seed, 7])
        p += Membership.fit(cloud(rng, 100), seed=seed).p_values(cloud(rng, 1)).tolist()
    counts = np.histogram(p, bins=5, range=(0, 1.0001))[0]
    # Chi-square with 4 degrees of freedom exceeds 23.5 once in 10,000.
    assert ((counts - 80) ** 2 / 80).sum() < 23.5


def test_the_false_share_stays_under_its_limit_in_all_but_one_of_forty_sets():
    passed = 0
    for seed in range(200):
        rng = np.random.default_rng([seed, 3])
        members = Membership.fit(cloud(rng, 100), seed=seed)
        share = (members.p_values(cloud(rng, 500)) <= 0.1).mean()
        passed += share > members.false_share(0.1) + 3.8 * np.sqrt(0.1 * 0.9 / 500)
    assert passed <= binom.ppf(0.9999, 200, 0.025)


def test_the_lower_limit_of_the_foreign_share_holds_and_is_of_use():
    limits = []
    for seed in range(150):
        rng = np.random.default_rng([seed, 5])
        members = Membership.fit(cloud(rng, 200), seed=seed)
        mixed = np.concatenate([cloud(rng, 160), cloud(rng, 40, centre=6.0)])
        flagged = int((members.p_values(mixed) <= 0.05).sum())
        low, _ = exact_limits(flagged, 200)
        limits.append(foreign_share(low, members.false_share(0.05)))
    assert sum(limit > 0.2 for limit in limits) <= binom.ppf(0.9999, 150, 0.05)
    assert np.median(limits) > 0.05


def test_foreign_texts_are_flagged_and_members_rarely():
    rng = np.random.default_rng(1)
    own = cloud(rng, 400)
    members = Membership.fit(own, seed=0)
    assert (members.p_values(cloud(rng, 100, centre=6.0)) <= 0.05).mean() > 0.9
    assert (members.p_values(own) <= 0.05).mean() <= 0.05


def test_the_same_seed_gives_the_same_split_and_scale_does_not_matter():
    rng = np.random.default_rng(2)
    own, new = cloud(rng, 150), cloud(rng, 20)
    one = Membership.fit(own, seed=4).p_values(new)
    assert (one == Membership.fit(2 * own, seed=4).p_values(5 * new)).all()
    assert (one != Membership.fit(own, seed=5).p_values(new)).any()


def test_what_it_refuses():
    rng = np.random.default_rng(3)
    with pytest.raises(InvalidInput, match="more are needed"):
        Membership.fit(cloud(rng, 99), seed=0)
    broken = cloud(rng, 100)
    broken[3, 3] = np.nan
    with pytest.raises(InvalidInput):
        Membership.fit(broken, seed=0)
    for level in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(InvalidInput):
            fewest_members(level)
    assert fewest_members(0.01) == 200
    assert Membership.fit(cloud(rng, 100), seed=0).false_share(0.001) == 0.0
