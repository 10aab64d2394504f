"""How fast versions answer at the gate: by what the server computed where it tells, by the clock elsewhere."""

from __future__ import annotations

import pytest

from gateway.servers.openai_compatible import read_whole
from retrain.asking import Answer
from retrain.candidate import SHORTEST_TURN_SECONDS, measure_pace


def test_seconds_of_computing_go_before_those_on_the_clock() -> None:
    told = [Answer("a", 10, seconds=0.2), Answer("b", 30, seconds=0.6)]
    assert measure_pace(told, 9.0) == pytest.approx(0.02)
    assert measure_pace([*told, Answer("c", 40)], 9.0) == pytest.approx(9.0 / 80), "one that is not told"


def test_nothing_is_measured_of_failures_silence_and_blinks() -> None:
    assert measure_pace([Answer("a", 10), Answer("", 0, error="It broke.")], 9.0) is None
    assert measure_pace([Answer("", 0)], 9.0) is None
    assert measure_pace([Answer("a", 10)], SHORTEST_TURN_SECONDS / 2) is None


@pytest.mark.parametrize(
    ("told", "milliseconds"),
    [({"compute_ms": 12.5}, 12.5), ({"compute_ms": "12"}, 0.0), ({"compute_ms": -1}, 0.0), ("x", 0.0), (None, 0.0)],
)
def test_what_a_server_tells_of_its_computing_is_read_strictly(told: object, milliseconds: float) -> None:
    answer = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "trimtab": told}
    assert read_whole(answer).compute_ms == milliseconds
