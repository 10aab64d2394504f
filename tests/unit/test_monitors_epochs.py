"""How many units an epoch promises for: what its days will bring at the reference's pace, within bounds."""

from datetime import UTC, datetime, timedelta

import pytest

from core.settings import MonitorSettings
from monitors.epochs import HORIZONS, horizon_of
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
