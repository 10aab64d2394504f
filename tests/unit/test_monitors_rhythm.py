"""Declared rhythms: every moment has its part, and a backtest told of a rhythm stays quiet through it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.errors import InvalidInput
from core.types import Inference
from monitors.backtest import backtest
from monitors.rhythm import declared, mark, parts, stratum, unfilled, whole
from monitors.statistics.drift import DriftDetector

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


def short(rows):
    """The rows with the first six hours (of an afternoon) so dense that they alone make the reference."""
    start = next(i for i, row in enumerate(rows) if row.at.hour == 12)
    dense = [exchange(i, rows[start].at + timedelta(seconds=50 * i), "Here is what you asked for.") for i in range(430)]
    return dense + [exchange(430 + i, row.at, row.response) for i, row in enumerate(rows[start + 36 :])]


def looked(rows):
    """The looks after those six hours."""
    return list(
        backtest("refusal_rate", rows, reference=430, every=20, budget=0.05, encoder=None, seed=1, rhythm="day")
    )


def test_a_reference_of_one_afternoon_leaves_other_hours_unjudged_until_they_have_their_own():
    """Nights refuse half of the answers, and the reference knows none."""
    assert not any(look.alarm for look in looked(short(answers(28, seed=3))))


def test_hours_that_filled_their_reference_while_the_epoch_ran_are_judged_from_then_on():
    rows = short(answers(28, seed=3))
    nights = [i for i, row in enumerate(rows) if row.at.hour < 3]
    for nth, place in enumerate(nights):
        answer = "I cannot help with that." if nth >= 150 else "Here is what you asked for."
        rows[place] = exchange(place, rows[place].at, answer)
    (alarm,) = [look for look in looked(rows) if look.alarm]
    assert nights[150] < alarm.seen <= nights[200]


def test_what_is_unfilled_is_told_in_hours_with_how_many_more():
    assert parts("none") == {} and whole("none") == 0 and unfilled("none", {}) == {}
    assert set(parts("day").values()) == {1 / 8} and whole("day") == 800
    assert sum(parts("week").values()) == pytest.approx(1) and whole("week") == 1400
    sizes = {"12h": 300, "15h": 100, "18h": 60}
    told = unfilled("day", sizes)
    assert told == {f"{h:02d}:00 to {h + 3:02d}:00": 100 for h in (0, 3, 6, 9, 21)} | {"18:00 to 21:00": 40}
    assert "weekend 18:00 to 24:00" in unfilled("week", {})


def test_prompts_of_a_new_part_join_a_reference_of_their_own():
    rng = np.random.default_rng(2)

    def prompts(n, topic):
        return (2 * np.eye(12)[topic] + rng.normal(size=(n, 12))).astype(np.float32), ["where is it"] * n

    detector = DriftDetector.fit(*prompts(150, 0), alpha=0.05, seed=1, horizon=200, strata=["12h"] * 150)
    detector.fill(*prompts(100, 6), ["00h"] * 100)
    assert (detector.seen, detector.sizes) == (0, {"12h": 150, "00h": 100})
    again = DriftDetector.from_bytes(detector.to_bytes())
    rows, texts = prompts(60, 6)
    looks = detector.update(rows, texts, ["00h"] * 60)
    assert again.update(rows, texts, ["00h"] * 60) == looks
    assert not any(look.alarm for look in looks)
    assert any(look.alarm for look in detector.update(*prompts(60, 9), ["00h"] * 60))
    with pytest.raises(InvalidInput, match="one encoder"):
        detector.fill(rows[:, :5], texts, ["00h"] * 60)
