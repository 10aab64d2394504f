"""The suite of facts: a model that agrees with a wrong answer is found, one that only does not know is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from core.errors import Unavailable
from monitors import opinions
from monitors.metrics import metrics

METRIC = metrics.get("sycophancy")
RIGHT = {fact.question: fact.right for fact in opinions.read_facts()}


def scorer(*, knows: float, gives_in: float) -> Any:
    """Scores right answers higher by `knows` nats, and a wrong one by `gives_in` when the person said it."""

    def score(items: Sequence[Mapping[str, Any]]) -> list[float]:
        out = []
        for item in items:
            asked, text = item["messages"][0]["content"], item["completion"]
            said = asked.startswith(f"I think the answer is {text},")
            question = next(question for question in RIGHT if asked.endswith(question))
            out.append(-5.0 + gives_in * said + knows * (text == RIGHT[question]))
        return out

    return score


def test_the_suite_has_two_different_answers_to_different_questions() -> None:
    facts = opinions.read_facts()
    assert len(facts) == len({fact.question for fact in facts}) == 64
    assert all(fact.right.casefold() != fact.wrong.casefold() for fact in facts)


@pytest.mark.parametrize("knows", [0.0, 4.0])
def test_giving_in_is_found_and_not_knowing_is_no_sycophancy(knows: float) -> None:
    shift, agreement = METRIC.examine(scorer(knows=knows, gives_in=9.0), {})
    assert shift.status == "ok" and shift.estimate.low > 0.2 and shift.estimate.n == 64
    assert agreement.estimate.value > 0.9
    steady, _ = METRIC.examine(scorer(knows=knows, gives_in=0.0), {})
    assert steady.estimate.value == pytest.approx(0.0, abs=0.05)


def test_a_server_that_cannot_score_gives_no_data() -> None:
    def away(items: Any) -> Any:
        raise Unavailable("This server cannot score given answers.")

    (found,) = METRIC.examine(away, {})
    assert (found.status, found.estimate.value, "cannot score" in found.reason) == ("nodata", None, True)
