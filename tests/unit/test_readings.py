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
        (0.124, "group_gaps", False, "12.4 points"),
        (0.09, "bias_twins", False, "9.0 points"),
        (0.14, "question_bias", False, "14.0 points"),
        (211.6, "response_length", False, "212 characters"),
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


CHANGE = {"value": 0.6, "low": 0.45, "high": 0.7, "reference": {"value": 0.345}}


@pytest.mark.parametrize(
    ("change", "metric", "told"),
    [
        (CHANGE, "negative_feedback", "60.0 points more than the reference's 34.5 % (by 45.0 to 70.0 points)"),
        (
            {**CHANGE, "low": -0.05, "together": True},
            "negative_feedback",
            "not clearly more or less than the reference's 34.5 % (-5.0 to +70.0 points, all hours together)",
        ),
        (
            {"value": -1112.0, "low": -1200.0, "high": -24.0, "reference": {"value": 1202.0}},
            "response_length",
            "1,112 characters shorter than the reference's 1,202 characters (by 24 to 1,200 characters)",
        ),
        (
            {"value": 2.0, "low": 1.0, "high": 3.0, "reference": {"value": 9.0}},
            "response_length",
            "2 characters longer than the reference's 9 characters (by 1 to 3 characters)",
        ),
    ],
)
def test_a_change_says_which_way_and_by_how_much(change: dict[str, object], metric: str, told: str) -> None:
    assert readings.compared(change, metric) == told


def test_a_limit_says_on_which_side_of_it_a_number_should_be() -> None:
    assert readings.limit({"limit": 0.5, "direction": "below"}, "judged_quality") == "at least 50.0 %"
    assert readings.limit({"limit": 20_000}, "latency_p95_ms") == "at most 20,000 ms"
    assert readings.limit({}, "errors") == ""
