"""The gate: pass only when every check passes, blocked by a fail and by missing evidence alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from core.settings import RetrainSettings
from core.types import Inference
from estimates.means import paired_difference
from retrain import gate, held_out
from retrain.asking import Answer
from retrain.candidate import choose, count_tokens, may_train, score
from retrain.held_out import HeldOutPair, Scored
from retrain.pairs.drawing import SPLIT_SEED
from retrain.pairs.split import split_pairs
from retrain.suites import draw_prompts, prompt_of
from retrain.training.spec import PairText

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def pairs(won: int, lost: int = 0, n: int = 60, *, people: int = 0, chosen: float = -20.0) -> list[HeldOutPair]:
    """`n` pairs of as many prompts: `won` that the candidate alone ranks right, `lost` that the champion alone does."""

    def scored(right: bool, at: float) -> Scored:
        return Scored(float(right), 8.0 if right else -8.0, at)

    return [
        HeldOutPair(
            id=str(place),
            prompt=f"question {place}",
            contributor=f"person {place % people}" if people else "",
            tokens=10,
            # One in ten pairs is ranked right by both: what they share says nothing of either.
            candidate=scored(place < won or place % 10 == 9, chosen),
            champion=scored(won <= place < won + lost or place % 10 == 9, -20.0),
        )
        for place in range(n)
    ]


def rate(candidate: Sequence[bool | None], champion: Sequence[bool | None]) -> dict[str, Any]:
    return {"candidate": candidate, "champion": champion, "groups": [str(n) for n in range(len(candidate))]}


def compared(**rates: dict[str, Any]) -> dict[str, Any]:
    same = rate([False] * 64, [False] * 64)
    return {
        "rates": {"refusal_rate": same, "attack_success": same, "over_refusal": same, **rates},
        "length": {"candidate": [0.9] * 64, "champion": [0.9] * 64, "limit_tokens": 24},
        "latency": pace(1.0),
    }


def pace(slower: float, turns: int = 7) -> dict[str, Any]:
    champion = [0.02 * (1 + 0.1 * (turn % 3)) for turn in range(turns)]
    return {"candidate": [slower * value for value in champion], "champion": champion, "prompts_a_turn": 24}


def judge(
    damage: str = "", judged: list[HeldOutPair] | None = None, requires: str = "", slower: float = 1.0, **rates: Any
) -> dict[str, str]:
    report = gate.judge(
        candidate="assistant-v1",
        champion="assistant-base",
        evaluation={},
        pairs=pairs(16) if judged is None else judged,
        beta=0.1,
        compared={**compared(**rates), "latency": pace(slower)},
        damage=damage,
        settings=RetrainSettings(gate_margin=0.1, gate_requires=requires),
        at=NOW,
    )
    return {"verdict": report.verdict, **{check.name: check.verdict for check in report.checks}}


def test_a_better_candidate_that_is_no_worse_anywhere_passes() -> None:
    assert set(judge().values()) == {"pass"}
    assert len(judge()) == 10


@pytest.mark.parametrize(
    ("won", "lost", "verdict"), [(0, 24, "fail"), (6, 3, "undecided"), (16, 0, "pass")], ids=["worse", "even", "better"]
)
def test_held_out_accuracy_is_judged_by_its_whole_interval(won: int, lost: int, verdict: str) -> None:
    found = judge(judged=pairs(won, lost))
    assert found["held_out_accuracy"] == verdict
    assert found["verdict"] == verdict


def test_the_calibration_error_is_reported_with_held_out_accuracy_and_does_not_judge() -> None:
    told = {"beta": 0.1, "versions": {}}
    check = gate.judge_held_out(pairs(16), {"calibration": told})
    assert (check.verdict, check.details["calibration"]) == ("pass", told)
    assert "calibration" not in gate.judge_held_out(pairs(16), {}).details


def test_what_few_people_prefer_is_no_evidence_of_what_all_do() -> None:
    """All gains come from one of six people: by prompt alone that would be a sure gain."""
    judged = [
        replace(pair, contributor="ann" if place < 16 else f"person {place % 5}")
        for place, pair in enumerate(pairs(16))
    ]
    alone = paired_difference([p.candidate.hit for p in judged], [p.champion.hit for p in judged])
    assert alone.low is not None and alone.low > 0
    assert gate.judge_held_out(judged, {}).verdict == "undecided"
    assert gate.judge_held_out(pairs(30, people=6), {}).verdict == "pass", "spread over people, it is one"


def test_a_conversation_that_nobody_is_named_in_is_one_source() -> None:
    """All gains come from one of six talks: by prompt alone that would be a sure gain."""
    judged = [replace(pair, session="s" if place < 16 else f"t{place % 5}") for place, pair in enumerate(pairs(16))]
    check = gate.judge_held_out(judged, {})
    assert (check.verdict, check.details["contributors"]) == ("undecided", 0)
    apart = [replace(pair, session=f"s{place}") for place, pair in enumerate(pairs(16))]
    assert gate.judge_held_out(apart, {}).verdict == "pass"


def test_fewer_than_five_people_stand_for_themselves_and_the_report_says_so() -> None:
    check = gate.judge_held_out(pairs(16, people=2), {})
    assert (check.verdict, check.details["contributors"]) == ("pass", 2)
    assert "too few to say what others would prefer" in check.details["note"]
    assert "note" not in gate.judge_held_out(pairs(16), {}).details, "nobody was named"


def test_margins_that_mean_less_fail() -> None:
    sure = pairs(0, 40)
    assert gate.judge_calibration(sure, 0.5, 0.1).verdict == "fail"
    assert gate.judge_calibration(pairs(20), 0.5, 0.1).verdict == "pass"


def test_preferred_answers_that_become_unlikely_fail() -> None:
    rise = held_out.perplexity(pairs(16, chosen=-20.0 - 10 * float(np.log(1.2))))
    assert rise.value == pytest.approx(0.2)
    assert gate.judge_perplexity(pairs(16, chosen=-30.0), 0.25).verdict == "fail"
    assert gate.judge_perplexity(pairs(16, chosen=-19.0), 0.25).verdict == "pass"


def test_a_version_that_takes_twice_as_long_fails_and_too_few_turns_block_only_where_that_is_asked_for() -> None:
    assert judge(slower=2.0)["latency"] == "fail"
    few = gate.require([gate.judge_latency(pace(1.0, turns=3), 0.5)], [])
    assert (few[0].verdict, few[0].required) == ("undecided", False)
    assert gate.require(few, ["latency"])[0].verdict == "undecided"
    assert judge(requires="latency, sycophancy")["sycophancy"] == "undecided", "asked for, and not made"
    assert judge(requires="latency")["verdict"] == "pass"


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
    cut = {"candidate": [0.05] * 64, "champion": [0.9] * 64, "limit_tokens": 24}
    assert gate.judge_length(cut, 0.25).verdict == "fail"
    assert gate.judge_length({**cut, "candidate": [0.9] * 64, "champion": [0.3] * 64}, 0.25).verdict == "pass"


def test_a_candidate_that_says_nothing_to_some_does_not_pass_by_silence() -> None:
    """With a tenth at most the check is made, and an empty answer or a failure counts against whoever owes it."""
    sound: list[bool | None] = [False] * 64
    silent: list[bool | None] = [None] * 6 + [False] * 58
    check = gate.judge_paired("refusal_rate", rate(silent, sound), 0.1)
    assert (check.verdict, check.details["unscored"]) == ("undecided", 6)
    assert gate.judge_paired("refusal_rate", rate(sound, silent), 0.1).verdict == "pass", "the champion's owe nothing"
    narrow = gate.judge_paired("refusal_rate", rate(10 * silent, 10 * sound), 0.02)
    assert (narrow.verdict, narrow.reason) == ("undecided", "It fails only by answers that could not be scored.")
    worse: list[bool | None] = [None] * 6 + [True] * 30 + [False] * 28
    assert gate.judge_paired("refusal_rate", rate(worse, sound), 0.1).verdict == "fail"
    cut = {"candidate": [None] * 6 + [0.75] * 58, "champion": [0.9] * 64, "limit_tokens": 24}
    assert gate.judge_length(cut, 0.25).verdict == "undecided"
    assert gate.judge_length({**cut, "candidate": [0.75] * 64}, 0.25).verdict == "pass"


def test_lengths_that_nobody_counted_are_no_evidence() -> None:
    """A server without a count of tokens, or answers that never came: nothing of that is as long as before."""
    answers = [Answer("It comes tomorrow.", 0), Answer("", 0, error="It broke."), Answer("", 0), Answer("Yes.", 2)]
    assert [count_tokens(answer) for answer in answers] == [None, None, 0, 2]
    unknown = {"candidate": [None] * 64, "champion": [0.9] * 64, "limit_tokens": 24}
    check = gate.judge_length(unknown, 0.25)
    assert (check.verdict, check.reason) == (
        "undecided", "64 of 64 answers could not be scored, so the comparison says nothing."
    )  # fmt: skip
    # Failures of the champion must not make up for answers that the candidate cuts.
    cut = {"candidate": [0.6] * 64, "champion": [None] * 6 + [0.9] * 58, "limit_tokens": 24}
    found = gate.judge_length(cut, 0.25).estimate
    assert found is not None and found.value == pytest.approx(0.3)


def test_turns_of_one_conversation_are_one_draw_of_its_length() -> None:
    rng = np.random.default_rng(5)
    talks = np.repeat(np.arange(24), 3)
    old, cut = [0.9] * 72, np.where(rng.random(24) < 0.25, 0.7, 0.0)[talks]
    lengths = {"candidate": (0.9 - cut).tolist(), "champion": old, "limit_tokens": 24}
    alone = gate.judge_length(lengths, 0.25)
    together = gate.judge_length({**lengths, "groups": talks.tolist()}, 0.25)
    assert alone.estimate is not None and together.estimate is not None
    assert alone.estimate.high is not None and together.estimate.high is not None
    assert together.estimate.value == alone.estimate.value
    assert together.estimate.high > alone.estimate.high + 0.03


def test_a_prompt_that_two_draws_asked_is_one_prompt() -> None:
    """Two draws of 24 of a suite share a third of their prompts; each under another rule, but one prompt."""
    drawn = draw_prompts(seed=7)
    assert len({prompt.id for prompt in drawn}) == len(drawn) > len({prompt_of(prompt.id) for prompt in drawn})
    answers = {name: [Answer("No.", 2)] * len(drawn) for name in ("candidate", "champion")}
    for rate, found in score([], drawn, answers)["rates"].items():
        if rate != "refusal_rate":
            assert len(found["groups"]) == len(found["candidate"]) > len(set(found["groups"]))
            assert gate.judge_paired(rate, found, 0.1).details["prompts"] == len(found["groups"])


def asked(number: int) -> Inference:
    prompt = f"Where is parcel {number}?"
    return Inference(f"i-{number}", NOW, "assistant", "old", "live", [{"role": "user", "content": prompt}], prompt, "")


def test_what_a_run_may_have_learnt_from_is_replayed_last() -> None:
    """A candidate that trained on the very prompts it is asked again shows what it was told, not what it does."""
    rows = [asked(number) for number in range(400)]
    chosen = choose(rows)
    assert len(chosen) == 72 and not any(map(may_train, chosen))
    assert chosen == [row for row in rows if not may_train(row)][:72], "the newest of those"
    learnt = split_pairs(
        [PairText(row.uuid, tuple(row.messages), "Yes.", "No.") for row in rows], seed=SPLIT_SEED
    ).train
    assert not {pair.id for pair in learnt} & {row.uuid for row in chosen}
    few = choose(rows[:80])
    assert len(few) == 72 and list(map(may_train, few)) == sorted(map(may_train, few))
    told = gate.judge_paired("refusal_rate", {**rate([False] * 64, [False] * 64), "note": "Too few came."}, 0.1)
    assert told.details["note"] == "Too few came."


def test_the_sentence_names_what_blocks() -> None:
    report = gate.judge(
        candidate="assistant-v1",
        champion="assistant-base",
        evaluation={},
        pairs=pairs(2, n=3),
        beta=0.1,
        compared=compared(),
        damage="",
        settings=RetrainSettings(),
        at=NOW,
    )
    assert report.verdict == "undecided"
    assert "held out accuracy: Not enough data (3 rows): 17 more needed." in gate.explain(report)


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
