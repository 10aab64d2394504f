"""How many units an epoch promises for: what its days will bring at the reference's pace, within bounds."""

from datetime import UTC, datetime, timedelta

import pytest

from core.settings import MonitorSettings
from core.thinning import EVERY, Thinning
from monitors.epochs import HORIZONS, horizon_of, thinned
from monitors.metrics import Unit

AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("a_day", "expected"),
    [(10, HORIZONS[0]), (300, 9_000), (1_000_000, HORIZONS[1])],
    ids=["quiet", "usual", "busy"],
)
def test_an_epoch_lasts_its_days_except_in_quiet_and_in_busy_traffic(a_day, expected):
    reference = [Unit(i, i, AT + i * timedelta(days=1) / a_day) for i in range(1001)]
    horizon = horizon_of(reference, {}, MonitorSettings(epoch_days=30))
    assert horizon == pytest.approx(expected, rel=0.01)
    assert HORIZONS[0] <= horizon <= HORIZONS[1]


def test_a_stated_horizon_goes_before_the_pace():
    assert horizon_of([], {"horizon": 500}, MonitorSettings()) == 500


class Counted:
    """A source that knows only how many units the last day brought."""

    def __init__(self, a_day, thinning=EVERY):
        self.a_day, self.thinning = a_day, thinning

    def pace(self, tx):
        return self.a_day

    def thinned(self, thinning):
        return Counted(self.a_day, thinning)


@pytest.mark.parametrize(
    ("a_day", "params", "days", "expected"),
    [
        (HORIZONS[1] // 7, {}, 7, 1),
        (1_000_000, {}, 7, 350),
        (1_000_000, {}, 90, 1500),
        (1_000_000, {}, 0, 1),
        (1_000_000, {"one_in": 1}, 7, 1),
        (10, {"one_in": 40}, 7, 40),
        (1_000_000, {"horizon": 500}, 7, 1),
    ],
    ids=["usual", "busy", "no longer than an epoch", "switched off", "stated", "stated, quiet", "a stated horizon"],
)
def test_busy_traffic_is_thinned_so_that_the_longest_horizon_lasts_its_days(a_day, params, days, expected):
    settings = MonitorSettings(epoch_days=30, least_epoch_days=days)
    source = thinned(None, Counted(a_day, Thinning(seed=7)), params, settings)
    assert source.thinning == Thinning(expected, seed=7)
