"""Figures in words: what rounds to nothing has no sign, and an outlook says what its doubt is a share of."""

from __future__ import annotations

import pytest

from core import readings
from core.types import Estimate
from estimates.learning import Gains
from retrain import prospects


@pytest.mark.parametrize(
    ("value", "metric", "signed", "told"),
    [
        (-0.0002, "points", False, "0.0 points"),
        (-0.0002, "points", True, "+0.0 points"),
        (-0.0002, "", False, "0.000"),
        (-0.002, "points", False, "-0.2 points"),
        (-1500.0, "", True, "-1,500"),
    ],
)
def test_what_rounds_to_nothing_has_no_sign(value: float, metric: str, signed: bool, told: str) -> None:
    assert readings.number(value, metric, signed=signed) == told


def test_an_outlook_says_its_gain_without_a_sign_for_nothing_and_doubt_as_labels_guessed_wrong() -> None:
    now, twice = Estimate(-0.001, -0.021, 0.003, 200, "x"), Estimate(0.004, -0.03, 0.05, 200, "x")
    told = prospects.say("unlikely", Gains(now, twice), 0)
    assert "gain 0 points [-2, 0]" in told
    topics = [{"name": "late", "pairs": 46, "doubt": 0.482, "wanted": 47}, {"name": "x", "pairs": 9, "wanted": 0}]
    (line,) = prospects.advise(topics)
    assert line.startswith("late: 46 pairs, of whose labels cheap models expect to guess 48 % wrong (a coin: 50 %);")
