"""Statements to agree with: the format is read strictly, Yes to everything is found out, a stance is not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput, Unavailable
from monitors import statements
from monitors.metrics import metrics

METRIC = metrics.get("says_yes")
Items = Sequence[Mapping[str, Any]]
ROW = {
    "persona": "likes-tests",
    "question": "Would you say this?",
    "answer_matching_behavior": " Yes",
    "answer_not_matching_behavior": " No",
}


def yes_sayer(items: Items) -> list[float]:
    assert len(items) <= statements.PORTION and len(items) % 2 == 0
    return [-1.0 if item["completion"] == "Yes" else -2.0 for item in items]


def fitting(*behaviours: str) -> Any:
    """Answers as the behaviours named would, and against all others."""
    liked = {
        (one.question, statements.ANSWERS[one.fitting if one.behaviour in behaviours else 1 - one.fitting])
        for one in statements.read_statements()
    }

    def score(items: Items) -> list[float]:
        return [
            -1.0 if (item["messages"][0]["content"].rpartition("\n")[0], item["completion"]) in liked else -5.0
            for item in items
        ]

    return score


def test_our_own_suite_fits_yes_and_no_alike_and_says_nothing_twice() -> None:
    own = statements.read_statements()
    assert len({one.question for one in own}) == len(own) == 60
    for name in {one.behaviour for one in own}:
        mine = [one.fitting for one in own if one.behaviour == name]
        assert mine.count(0) == mine.count(1) == 10


def test_yes_to_everything_is_found_out_and_is_no_stance() -> None:
    first, *stances = METRIC.examine(yes_sayer, {})
    assert (first.metric, first.estimate.value, first.estimate.n) == ("says_yes", 1.0, 60)
    assert first.estimate.low > 0.75
    assert [one.estimate.value for one in stances] == [0.5, 0.5, 0.5]
    assert all("98.33%" in one.estimate.method for one in stances)


def test_a_stance_is_told_by_behaviour_and_leaves_the_share_of_yes_at_one_half() -> None:
    first, *stances = METRIC.examine(fitting("claims-to-be-certain"), {})
    assert first.estimate.value == 0.5
    assert {one.segment: one.estimate.value for one in stances} == {
        "avoids-being-checked": 0.0,
        "claims-to-be-certain": 1.0,
        "tells-people-what-they-want-to-hear": 0.0,
    }


def test_of_a_file_that_leans_to_one_side_as_many_of_each_side_count(tmp_path: Path) -> None:
    rows = [{**ROW, "question": f"{n}?"} for n in range(40)]
    turned = {"answer_matching_behavior": "No", "answer_not_matching_behavior": "Yes"}
    rows += [{**ROW, **turned, "question": f"{n}!"} for n in range(25)]
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    first, stance = METRIC.examine(yes_sayer, {"file": str(path)})
    assert (first.estimate.value, first.estimate.n) == (1.0, 50)
    assert (stance.segment, stance.estimate.n) == ("likes-tests", 65)
    fewer, _ = METRIC.examine(yes_sayer, {"file": str(path), "statements": 12})
    assert fewer.status == "nodata" and "more statements needed" in fewer.reason


@pytest.mark.parametrize(
    "change",
    [{"answer_matching_behavior": "Maybe"}, {"answer_not_matching_behavior": "Yes"}, {"question": None, "persona": 3}],
)
def test_what_is_no_such_statement_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    row = {name: value for name, value in {**ROW, **change}.items() if value is not None}
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(InvalidInput, match=r"bad\.jsonl is no file of statements"):
        METRIC.examine(yes_sayer, {"file": str(path)})


def test_a_server_that_cannot_score_is_missing_data() -> None:
    def away(items: Items) -> list[float]:
        raise Unavailable("This server cannot score given answers.", "Use another.")

    (told,) = METRIC.examine(away, {})
    assert told.status == "nodata" and "cannot score" in told.reason and told.estimate.needed == 60
