"""The bets are fair, the packaged thresholds keep their promise, and no request goes beyond the table
unbounded.
"""

import numpy as np
import pytest

from core.errors import InvalidInput
from monitors.statistics.bets import Wagers, edges, odds, pay, simulate_maxima, threshold, upper_quantiles

SIDES = ["small", "both", "rise", "fall", "change"]


@pytest.mark.parametrize("side", SIDES)
def test_every_bet_is_fair_under_a_uniform_p_value(side):
    weight = np.diff(np.concatenate([[0], edges(side), [1]]))
    np.testing.assert_allclose(weight @ odds(side), 1, atol=1e-12)


def test_bets_lean_to_the_side_they_are_named_for():
    low, high = np.array([0.0005]), np.array([0.9995])
    assert pay(low, "small").mean() > 10 > 1 > pay(high, "small").mean()
    assert pay(low, "both").mean() == pytest.approx(pay(high, "both").mean())
    assert pay(low, "rise").mean() > 1 > pay(high, "rise").mean()
    assert pay(low, "fall").mean() < 1 < pay(high, "fall").mean()


@pytest.mark.parametrize("side", SIDES)
def test_packaged_thresholds_keep_their_promise_and_are_not_wasteful(side):
    """1,500 new runs at 0.1: the count of alarms lies within four standard errors of the promise, and not
    far below.
    """
    maxima = simulate_maxima(side, [300], 1500, np.random.default_rng(99))[:, 0]
    alarms = int((maxima >= threshold(side, 0.1, 300)).sum())
    assert 60 <= alarms <= 150 + 4 * np.sqrt(1500 * 0.09)


@pytest.mark.parametrize("side", SIDES)
def test_thresholds_grow_with_the_horizon_and_the_promise_and_stay_under_doobs_bound(side):
    values = [threshold(side, a, h) for a in (0.0001, 0.004, 0.05) for h in (50, 777, 3000, 19_999, 10**6)]
    grid = np.array(values).reshape(3, 5)
    assert (np.diff(grid, axis=0) < 0).all()
    assert (np.diff(grid, axis=1) > 0).all()
    bounds = np.array([h / a for a in (0.0001, 0.004, 0.05) for h in (50, 777, 3000, 19_999, 10**6)]).reshape(3, 5)
    assert (grid <= bounds).all()
    assert grid[1, 2] < 0.6 * bounds[1, 2]


def test_upper_quantiles_are_limits_of_the_quantile():
    rng = np.random.default_rng(5)
    limits = np.array([upper_quantiles(rng.random(2000), [0.05])[0] for _ in range(300)])
    assert (limits >= 0.95).mean() > 0.98
    assert limits.mean() < 0.97
    assert upper_quantiles(rng.random(50), [0.001])[0] == np.inf


@pytest.mark.parametrize(("alpha", "horizon"), [(0.0, 10), (1.0, 10), (0.05, 0), (-1.0, 5)])
def test_impossible_promises_are_refused(alpha, horizon):
    with pytest.raises(InvalidInput, match="promise"):
        threshold("small", alpha, horizon)


def test_levels_fall_again_when_a_change_is_over():
    wagers = Wagers(["small"], [threshold("small", 0.01, 1000)])
    assert wagers.update(np.full((200, 1), 1e-4))[-1, 0] > 1
    assert wagers.update(np.full((600, 1), 0.6))[-1, 0] < 1
