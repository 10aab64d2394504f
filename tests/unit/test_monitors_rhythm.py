"""Declared rhythms: every moment has its part, and a backtest told of a rhythm stays quiet through it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.errors import InvalidInput
from core.types import Inference
from monitors.backtest import backtest
from monitors.rhythm import declared, mark, stratum

MONDAY = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)


def test_every_hour_of_a_week_falls_into_its_part():
    hours = [MONDAY + timedelta(hours=h) for h in range(168)]
    assert {stratum(at, "none") for at in hours} == {""}
    assert len({stratum(at, "day") for at in hours}) == 8
    week = [stratum(at, "week") for at in hours]
    assert len(set(week)) == 8
    assert week[0] == "workday 00h" and week[5 * 24 + 23] == "weekend 18h"
    with pytest.raises(InvalidInput, match="moon"):
        stratum(MONDAY, "moon")


def test_a_monitors_own_rhythm_goes_before_the_installations():
    assert declared({}, "day") == "day" and declared({"rhythm": "week"}, "day") == "week"


def test_nothing_declared_leaves_units_as_they_are():
    assert mark([], "none") == []


def exchange(place, at, answer):
    return Inference(str(place), at, "a", "v", "live", [], "Where is it?", answer, id=place + 1)


def answers(days, seed):
    """Exchanges every ten minutes; at night half of the answers refuse, by day one in fifty."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(days * 144):
        at = MONDAY + timedelta(minutes=10 * i)
        refused = rng.random() < (0.5 if at.hour < 6 else 0.02)
        text = "I cannot help with that." if refused else "Here is what you asked for."
        out.append(exchange(i, at, text))
    return out


def alarms(rows, rhythm):
    looks = backtest("refusal_rate", rows, reference=1008, every=100, budget=0.05, encoder=None, seed=1, rhythm=rhythm)
    return sum(look.alarm for look in looks)


def test_nights_that_refuse_more_alarm_unless_the_rhythm_is_declared():
    rows = answers(28, seed=3)
    assert alarms(rows, "none") == 1
    assert alarms(rows, "day") == 0


def test_a_change_still_alarms_with_a_declared_rhythm():
    rows = answers(14, seed=4)
    for place in range(1300, 1400):
        rows[place] = exchange(place, rows[place].at, "I cannot help with that.")
    assert alarms(rows, "day") == 1
