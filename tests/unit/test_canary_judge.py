"""The judge of a canary: its two promises by simulation, and what it says where it cannot say."""

from __future__ import annotations

from datetime import UTC, datetime
from math import sqrt

import numpy as np
import pytest

from core.errors import InvalidInput
from core.types import Inference
from estimates.allocation import excess_evidence
from retrain.canary import MEASURES, Counts, Judgement, Tally, judge, judge_shadow

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ALPHA = 0.05
# Of 400 runs with a true rate of 5 %, more than this many happen less than once in 10,000 times.
MOST_OF_400 = 38


def events(rng: np.random.Generator, rates: np.ndarray, share: float, times: float) -> np.ndarray:
    """Whether each event fell on the candidate, where it has the event `times` as often as the champion."""
    candidate = rng.random(len(rates)) < share
    met = rng.random(len(rates)) < np.where(candidate, rates * times, rates)
    return candidate[met]


def first_alarm(hits: np.ndarray, share: float, limit: float) -> int | None:
    """The first event at which the evidence reaches the limit."""
    for n, total in enumerate(np.cumsum(hits), 1):
        if excess_evidence(int(total), n, share) >= limit:
            return n
    return None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_candidate_that_is_no_worse_is_seldom_called_worse_over_all_looks(share: float) -> None:
    """Also where what everybody asks changes midway, and both versions get worse together."""
    rng = np.random.default_rng([11, int(share * 100)])
    rates = np.concatenate([np.full(400, 0.05), np.full(400, 0.3)])
    wrong = naive = 0
    for _ in range(400):
        hits = events(rng, rates, share, 1.0)
        wrong += first_alarm(hits, share, np.log(1 / ALPHA)) is not None
        n = np.arange(1, len(hits) + 1)
        naive += bool(np.any((np.cumsum(hits) - n * share) / np.sqrt(n * share * (1 - share)) > 1.645))
    assert wrong <= MOST_OF_400
    assert naive > MOST_OF_400, "a test for one look, taken at every look, is caught by this"


def test_a_regression_is_found_soon() -> None:
    rng = np.random.default_rng(12)
    found = [first_alarm(events(rng, np.full(1000, 0.1), 0.2, 3.0), 0.2, np.log(3 / ALPHA)) for _ in range(60)]
    assert sum(one is not None for one in found) >= 54


def test_the_evidence_is_that_of_the_mixture_and_refuses_what_cannot_be() -> None:
    assert excess_evidence(0, 0, 0.2) == pytest.approx(0.0)
    assert excess_evidence(0, 10, 0.2) < 0 < excess_evidence(5, 10, 0.2)
    # By the definition: the mean over one event of the e-value is 1 at the share itself.
    mean = 0.2 * np.exp(excess_evidence(1, 1, 0.2)) + 0.8 * np.exp(excess_evidence(0, 1, 0.2))
    assert mean == pytest.approx(1.0)
    for hits, n, share in ((3, 2, 0.2), (-1, 2, 0.2), (1, 2, 0.0), (1, 2, 1.0)):
        with pytest.raises(InvalidInput):
            excess_evidence(hits, n, share)


def told(candidate: tuple[int, int], champion: tuple[int, int], **options: float) -> Judgement:
    """The judgement where feedback is as given (events, units) and nothing else went wrong."""
    calm = Tally(candidate[1]), Tally(champion[1])
    pairs = dict.fromkeys(MEASURES, calm)
    pairs["negative_feedback"] = Tally(candidate[1], candidate[0]), Tally(champion[1], champion[0])
    settings = {"share": 0.2, "wanted": 200, "alpha": ALPHA, "margin": 0.1} | options
    return judge(pairs, **settings)  # type: ignore[arg-type]


def test_a_worse_candidate_is_named_with_its_counts() -> None:
    found = told((30, 60), (20, 240))
    assert found.outcome == "worse"
    assert "30 of 50 disliked answers are the candidate's" in found.reason
    assert [one.verdict for one in found.measures] == ["fail", "pass", "pass"] or found.measures[0].verdict == "fail"


def test_too_few_answers_say_how_many_more() -> None:
    found = told((1, 30), (4, 120))
    assert (found.outcome, found.answered) == ("wait", 30)
    assert found.needed >= 170
    assert "more answers needed" in found.reason


def test_enough_answers_and_a_margin_shown_let_it_go() -> None:
    assert told((10, 400), (40, 1600)).outcome == "go"
    wide = told((60, 210), (200, 840))
    assert (wide.outcome, wide.answered) == ("wait", 210)
    assert "negative feedback" in wide.reason
    assert told((60, 210), (200, 840), margin=0.0).outcome == "go", "without a margin nothing must be ruled out"


def test_a_candidate_that_stands_above_the_margin_is_not_promised_an_end() -> None:
    found = told((90, 210), (200, 840), alpha=1e-4)
    assert found.outcome == "wait"
    assert found.needed == 0
    assert "above the margin" in found.reason


def test_nothing_follows_where_the_draw_is_not_as_it_should_be() -> None:
    found = told((30, 120), (5, 180))
    assert (found.outcome, found.needed) == ("wait", 0)
    assert "120 of 300 met the candidate" in found.reason
    assert told((30, 60), (20, 1000)).outcome == "worse", "fewer than its share only make the test weaker"


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_level_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(InvalidInput, match="canary_alpha"):
        told((1, 30), (4, 120), alpha=alpha)


def answer(uuid: str, version: str, **more: object) -> Inference:
    said = {"prompt": "Hello?", "response": "Hello to you."} | more
    return Inference(uuid, NOW, "assistant", version, "live", [], **said)  # type: ignore[arg-type]


def test_one_person_counts_once_and_client_errors_not_at_all() -> None:
    counts = Counts("new", "old")
    counts.take(answer("1", "new", user="ann", status=503, error="away"))
    counts.take(answer("2", "new", user="ann"))
    counts.take(answer("3", "old", conversation="c", response="I am sorry, but I cannot help with that."))
    counts.take(answer("4", "old", status=499, error="client left"))
    counts.take(answer("5", "older"))
    counts.count("negative_feedback", "new", "ann", True)
    counts.count("negative_feedback", "new", "ann", False)
    pairs = counts.pairs()
    assert pairs["errors"] == (Tally(1, 1), Tally(1, 0))
    assert pairs["refusal_rate"] == (Tally(1, 0), Tally(1, 1))
    assert pairs["negative_feedback"] == (Tally(1, 1), Tally())


def test_a_shadow_ends_when_copies_fail_or_enough_were_answered() -> None:
    assert judge_shadow(Tally(10, 10), wanted=60, alpha=ALPHA, margin=0.1).outcome == "worse"
    waiting = judge_shadow(Tally(59, 0), wanted=60, alpha=ALPHA, margin=0.1)
    assert (waiting.outcome, waiting.needed) == ("wait", 1)
    assert judge_shadow(Tally(60, 1), wanted=60, alpha=ALPHA, margin=0.1).outcome == "go"


def test_evidence_can_be_kept_as_json() -> None:
    import json

    found = told((400, 400), (0, 1600)).json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert sqrt(found["measures"][0]["evidence"]) > 1
