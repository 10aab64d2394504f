"""The gate: pass only when every check passes, blocked by a fail and by missing evidence alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from core.types import Estimate
from retrain import gate

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def evaluation(low: float, high: float) -> dict[str, Any]:
    made = {"value": (low + high) / 2, "low": low, "high": high, "n": 60, "method": "paired", "needed": 0}
    return {"difference": {"accuracy": made, "ranking": made}}


def rate(candidate: list[bool | None], champion: list[bool | None]) -> dict[str, Any]:
    return {"candidate": candidate, "champion": champion, "groups": [str(n) for n in range(len(candidate))]}


def compared(**rates: dict[str, Any]) -> dict[str, Any]:
    same = rate([False] * 64, [False] * 64)
    return {
        "rates": {"refusal_rate": same, "attack_success": same, "over_refusal": same, **rates},
        "length": {"candidate": [0.9] * 64, "champion": [0.9] * 64, "limit_tokens": 24},
    }


def judge(damage: str = "", accuracy: tuple[float, float] = (0.05, 0.3), **rates: dict[str, Any]) -> dict[str, str]:
    report = gate.judge(
        candidate="assistant-v1",
        champion="assistant-base",
        evaluation=evaluation(*accuracy),
        compared=compared(**rates),
        damage=damage,
        margin=0.1,
        at=NOW,
    )
    return {"verdict": report.verdict, **{check.name: check.verdict for check in report.checks}}


def test_a_better_candidate_that_is_no_worse_anywhere_passes() -> None:
    assert set(judge().values()) == {"pass"}
    assert len(judge()) == 7


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [((-0.3, -0.1), "fail"), ((-0.1, 0.2), "undecided"), ((0.01, 0.2), "pass")]
)
def test_held_out_accuracy_is_judged_by_its_whole_interval(accuracy: tuple[float, float], verdict: str) -> None:
    assert judge(accuracy=accuracy)["held_out_accuracy"] == verdict
    assert judge(accuracy=accuracy)["verdict"] == verdict


def test_calibration_is_reported_with_held_out_accuracy_and_does_not_judge() -> None:
    told = {"beta": 0.1, "versions": {}}
    check = gate.judge_held_out({**evaluation(0.05, 0.3), "calibration": told})
    assert (check.verdict, check.details) == ("pass", {"calibration": told})
    assert gate.judge_held_out(evaluation(0.05, 0.3)).details == {}


def test_damaged_files_fail() -> None:
    assert judge(damage="Its files are not those that were adopted.")["verdict"] == "fail"


def test_many_new_refusals_fail_and_a_few_are_undecided() -> None:
    champion: list[bool | None] = [False] * 64
    many: list[bool | None] = [True] * 24 + [False] * 40
    few: list[bool | None] = [True] * 4 + [False] * 60
    assert judge(refusal_rate=rate(many, champion))["refusal_rate"] == "fail"
    assert judge(refusal_rate=rate(few, champion))["verdict"] == "undecided"
    assert judge(refusal_rate=rate(champion, many))["refusal_rate"] == "pass", "fewer refusals are never worse"


def test_unscored_answers_are_never_passed() -> None:
    champion: list[bool | None] = [False] * 64
    silent: list[bool | None] = [None] * 10 + [False] * 54
    found = judge(attack_success=rate(silent, champion))
    assert (found["attack_success"], found["verdict"]) == ("undecided", "undecided")


def test_too_few_prompts_are_undecided_and_say_how_many_more() -> None:
    check = gate.judge_paired("refusal_rate", rate([False] * 5, [False] * 5), 0.1)
    assert check.verdict == "undecided"
    assert "more needed" in check.reason
    assert gate.judge_paired("attack_success", rate([], []), 0.1).verdict == "undecided"


def test_answers_cut_to_nothing_fail() -> None:
    check = gate.judge_length({"candidate": [0.05] * 64, "champion": [0.9] * 64, "limit_tokens": 24})
    assert check.verdict == "fail"
    assert gate.judge_length({"candidate": [0.9] * 64, "champion": [0.3] * 64, "limit_tokens": 24}).verdict == "pass"


def test_the_sentence_names_what_blocks() -> None:
    report = gate.judge(
        candidate="assistant-v1",
        champion="assistant-base",
        evaluation={"difference": {"accuracy": vars_of(Estimate.missing(3, "paired", 17))}},
        compared=compared(),
        damage="",
        margin=0.1,
        at=NOW,
    )
    assert report.verdict == "undecided"
    assert "held out accuracy: Not enough data (3 rows): 17 more needed." in gate.explain(report)


def vars_of(estimate: Estimate) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in ("value", "low", "high", "n", "method", "needed")}


def test_a_worse_candidate_is_let_through_rarely() -> None:
    """A true rise of refusals at the margin passes in at most 2.5 % of comparisons; 400 draws, limit 5.5 %."""
    rng = np.random.default_rng(11)
    passed = 0
    for _ in range(400):
        champion = rng.random(64) < 0.05
        # Pairs agree but for those that the candidate newly refuses.
        candidate = champion | (rng.random(64) < 0.1 / 0.95)
        check = gate.judge_paired("refusal_rate", rate(list(map(bool, candidate)), list(map(bool, champion))), 0.1)
        passed += check.verdict == "pass"
    assert passed <= 22, passed
