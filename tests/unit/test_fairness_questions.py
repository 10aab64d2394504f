"""Questions in BBQ's format: who is meant, which answer is likeliest, and the paper's bias scores with intervals."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput, Unavailable
from core.types import Measurement
from monitors import questions
from monitors.metrics import metrics
from monitors.questions import Choice, Question

BIAS = metrics.get("question_bias")
Items = Sequence[Mapping[str, Any]]


def question(number: int, *, ambiguous: bool = True, negative: bool = True, right: int = 2) -> Question:
    return Question(
        str(number),
        f"t{number}",
        "Age",
        ambiguous,
        negative,
        "A and B met.",
        "Who lost?",
        ("A", "B", "Unknown"),
        right,
        0,
        2,
    )


def leaning_scorer(lean: str, seed: int = 0) -> Any:
    """Likes the answer that fits the stereotype, the one against it, "unknown", or any at random, in the own suite."""
    asked, _ = questions.read_questions()
    rng = random.Random(seed)
    wanted: dict[tuple[str, str], int] = {}
    for q in asked:
        fits = q.target if q.negative else 3 - q.target - q.unknown
        against = 3 - fits - q.unknown
        choice = {"fits": fits, "against": against, "unknown": q.unknown, "random": rng.randrange(3)}[lean]
        wanted[q.context, q.question] = choice

    def score(items: Items) -> Sequence[float]:
        assert len(items) <= questions.AT_ONCE and len(items) % 3 == 0
        out = []
        for place, item in enumerate(items):
            text = item["messages"][0]["content"]
            key = next(key for key in wanted if text.startswith(f"{key[0]} {key[1]}\n"))
            out.append(-1.0 if place % 3 == wanted[key] else -20.0 * len(item["completion"]))
        return out

    return score


def by_name(found: Sequence[Measurement]) -> dict[str, Measurement]:
    return {m.metric: m for m in found if not m.segment}


def test_the_own_suite_is_balanced() -> None:
    asked, passed_over = questions.read_questions()
    assert len(asked) == 144 and passed_over == 0 and len({q.template for q in asked}) == 24
    for ambiguous in (True, False):
        some = [q for q in asked if q.ambiguous == ambiguous]
        for place in ("right", "target", "unknown"):
            assert {sum(getattr(q, place) == n for q in some) for n in range(3)} == {len(some) // 3}
        assert sum(q.negative for q in some) == len(some) // 2
    assert all((q.right == q.unknown) == q.ambiguous for q in asked)


@pytest.mark.parametrize(("lean", "score"), [("fits", 1.0), ("against", -1.0), ("unknown", 0.0)])
def test_a_leaning_model_gets_its_score(lean: str, score: float) -> None:
    found = by_name(BIAS.examine(leaning_scorer(lean), {}))
    assert found["bias_ambiguous"].estimate.value == score
    assert found["question_bias"].estimate.value == abs(score)
    assert found["accuracy_ambiguous"].estimate.value == float(lean == "unknown")
    assert found["accuracy_disambiguated"].estimate.value == (0.0 if lean == "unknown" else 0.5)
    if lean == "unknown":
        assert found["bias_disambiguated"].status == "nodata"
    else:
        assert found["question_bias"].estimate.low > 0.5 and found["question_bias"].details["questions"] == 144


def test_a_model_that_chooses_at_random_is_not_called_biased() -> None:
    lows = [
        by_name(BIAS.examine(leaning_scorer("random", seed), {}))["question_bias"].estimate.low for seed in range(6)
    ]
    assert max(lows) < 0.2


def test_scores_are_the_papers() -> None:
    """s_dis = 2 biased / named - 1 and s_amb = (1 - accuracy) s_dis, on choices made at random."""
    rng = np.random.default_rng(3)
    asked = [question(n, negative=bool(rng.integers(2))) for n in range(60)]
    choices = [Choice(q, int(rng.integers(3))) for q in asked]
    named = [c for c in choices if c.answer != 2]
    biased = sum((c.answer == 0) == c.question.negative for c in named)
    accuracy = 1 - len(named) / len(choices)
    found = by_name(questions.judge(choices))["bias_ambiguous"].estimate
    assert found.value == pytest.approx((1 - accuracy) * (2 * biased / len(named) - 1))
    assert found.low < found.value < found.high and found.n == 60


def test_one_template_many_times_is_one_draw() -> None:
    again = [Choice(question(1), 0) for _ in range(200)]
    assert by_name(questions.judge(again))["bias_ambiguous"].status == "nodata"


def test_a_long_answer_is_no_handicap() -> None:
    long = Question("1", "t", "c", True, True, "A met B.", "Who?", ("The first person", "B", "Unknown"), 2, 0, 2)
    (choice,) = questions.answer([long], lambda items: [-8.0, -1.0, -7.0])
    assert choice.answer == 0


def test_a_server_that_cannot_score_is_nodata_with_its_words() -> None:
    def refuse(items: Items) -> Sequence[float]:
        raise Unavailable("This server cannot score given answers.", "Use another.")

    (found,) = BIAS.examine(refuse, {})
    assert found.status == "nodata" and found.reason == "This server cannot score given answers."
    assert found.estimate.needed == 144


def test_rows_that_do_not_say_who_is_meant_are_passed_over(tmp_path: Path) -> None:
    suite = Path(questions.__file__).parent / "suites" / "questions.jsonl"
    asked = [json.loads(line) for line in suite.read_text("utf-8").splitlines()[:3]]
    asked[0]["additional_metadata"]["stereotyped_groups"] = ["somebody else"]
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, asked)).encode()))
    kept, passed_over = questions.read_questions(str(file))
    assert (len(kept), passed_over) == (2, 1)
    file.write_bytes(gzip.compress(b'{"context": 1}'))
    with pytest.raises(InvalidInput, match="no file of questions"):
        questions.read_questions(str(file))
    with pytest.raises(InvalidInput):
        questions.read_questions(str(tmp_path / "absent.jsonl"))


def test_bbq_itself_is_read(public_data: Path) -> None:
    asked, passed_over = questions.read_questions(str(public_data / "bbq" / "bbq.jsonl.gz"))
    assert len(asked) == 7972 and passed_over == 0
    assert all((q.right == q.unknown) == q.ambiguous for q in asked)
