"""The sequential rate test: its promise by simulation, the changes it finds, restarts and refusals."""

import json

import numpy as np
import pytest

from core.errors import InvalidInput
from monitors.statistics.rates import RateTest


def binary(rng, n, rate):
    return (rng.random(n) < rate).astype(float)


def fitted(seed, rate=0.1, n=300, **options):
    rng = np.random.default_rng([seed, 5])
    settings = {"alpha": 0.05, "seed": seed, "horizon": 2000} | options
    return rng, RateTest.fit(binary(rng, n, rate), **settings)


def test_a_rise_is_found_and_a_fall_is_not_when_only_rises_count():
    rng, test = fitted(1)
    assert not any(look.alarm for look in test.update(binary(rng, 300, 0.1)))
    looks = test.update(binary(rng, 300, 0.3))
    assert sum(look.alarm for look in looks) == 1
    assert test.alarmed_at < 500
    assert test.recent().low > test.reference().high
    rng, test = fitted(1)
    assert not any(look.alarm for look in test.update(binary(rng, 600, 0.0)))


@pytest.mark.parametrize("side", ["fall", "change"])
def test_a_fall_is_found_when_it_counts(side):
    rng, test = fitted(2, rate=0.4, side=side)
    assert not any(look.alarm for look in test.update(binary(rng, 200, 0.4)))
    assert any(look.alarm for look in test.update(binary(rng, 400, 0.15)))


def test_a_lasting_change_late_in_the_epoch_is_still_found():
    rng, test = fitted(3, horizon=3000)
    test.update(binary(rng, 2000, 0.1))
    assert test.alarmed_at is None
    assert any(look.alarm for look in test.update(binary(rng, 400, 0.35)))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("n", [20, 200])
def test_false_alarms_stay_inside_the_budget_however_small_the_reference(n, rate):
    """200 histories at budget 0.2: over 68 alarms come less than once in 100,000 if the promise is kept."""
    alarms = 0
    for seed in range(200):
        rng, test = fitted(seed, rate, n, alpha=0.2, horizon=200, side="change")
        alarms += any(look.alarm for look in test.update(binary(rng, 200, rate)))
    assert alarms <= 68


def test_p_values_are_uniform_for_ratings_with_ties():
    rng = np.random.default_rng(11)
    ratings = rng.choice([0, 0.25, 0.5, 0.75, 1], 1400, p=[0.1, 0.1, 0.2, 0.3, 0.3])
    test = RateTest.fit(ratings[:100], alpha=0.05, seed=3, horizon=1300, side="change")
    p = np.array([look.p for look in test.update(ratings[100:])])
    counts = np.histogram(p, bins=10, range=(0, 1))[0]
    # Chi-square with 9 degrees of freedom exceeds 33.7 once in 10,000.
    assert ((counts - 130) ** 2 / 130).sum() < 33.7
    assert abs(np.corrcoef(p[1:], p[:-1])[0, 1]) < 4 / np.sqrt(len(p))
    assert test.recent().value == pytest.approx(ratings[-200:].mean())


def test_declared_strata_keep_a_daily_rhythm_from_alarming():
    """Nights have seven times the rate and come in blocks of 100."""
    rng = np.random.default_rng(6)
    strata = [("night" if i // 100 % 2 else "day") for i in range(2400)]
    values = np.concatenate([binary(rng, 100, 0.7 if k % 2 else 0.1) for k in range(24)])
    settings = {"alpha": 0.05, "seed": 1, "horizon": 1600}
    told = RateTest.fit(values[:800], strata=strata[:800], **settings)
    untold = RateTest.fit(values[:800], **settings)
    assert not any(look.alarm for look in told.update(values[800:], strata[800:]))
    assert any(look.alarm for look in untold.update(values[800:]))


def test_a_restart_through_json_changes_nothing():
    rng, whole = fitted(4)
    values = np.concatenate([binary(rng, 150, 0.1), binary(rng, 150, 0.4)])
    _, cut = fitted(4)
    got = []
    for start in range(0, 300, 11):
        cut = RateTest.from_dict(json.loads(json.dumps(cut.to_dict())))
        got += cut.update(values[start : start + 11])
    assert got == whole.update(values)
    assert cut.to_dict() == whole.to_dict()


def test_refusals_name_the_remedy():
    rng = np.random.default_rng(0)
    options = {"alpha": 0.05, "seed": 1, "horizon": 10}
    with pytest.raises(InvalidInput, match="8 more are needed"):
        RateTest.fit(binary(rng, 12, 0.5), **options)
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        RateTest.fit(np.full(30, 2.0), **options)
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        RateTest.fit(np.full(30, np.nan), **options)
    with pytest.raises(InvalidInput, match="strata"):
        RateTest.fit(binary(rng, 30, 0.5), strata=["a"], **options)
    with pytest.raises(InvalidInput, match="room for 10"):
        RateTest.fit(binary(rng, 30, 0.5), **options).update(np.zeros(11))
    with pytest.raises(InvalidInput, match="cannot be read"):
        RateTest.from_dict({"format": 1})
