"""Rules, policy, notices and gates: the pure decisions of the domain, case by case."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.gate import combine, judge_noninferiority, judge_superiority
from core.notify import Change, compose
from core.policy import Situation, propose
from core.rules import Episode, Progress, Threshold, replay, step, thresholds, with_limit
from core.silences import Silence, covering
from core.types import Check, Estimate, micros

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value, low, high, 50, "test")


def test_a_threshold_counts_a_breach_only_when_the_whole_interval_is_past_it() -> None:
    rule = Threshold("above", 0.1)
    assert rule.breached(estimate(0.2, 0.05, 0.4)) is False
    assert rule.breached(estimate(0.2, 0.11, 0.4)) is True
    assert rule.breached(Estimate.missing(3, "test", 27)) is None
    assert Threshold("below", 0.1, certain=False).breached(estimate(0.05, 0.0, 0.2)) is True


def test_an_alert_waits_fires_and_resolves() -> None:
    hold = timedelta(minutes=5)
    pending = step(Progress("inactive"), True, hold, NOW)
    assert pending == Progress("pending", NOW)
    assert step(pending, True, hold, NOW + timedelta(minutes=4)).state == "pending"
    assert step(pending, None, hold, NOW + timedelta(minutes=9)) == pending
    firing = step(pending, True, hold, NOW + timedelta(minutes=5))
    assert firing.state == "firing"
    assert step(firing, None, hold, NOW).state == "firing"
    assert step(firing, False, hold, NOW).state == "resolved"


def test_a_replay_tells_when_an_alert_would_have_fired_and_ended() -> None:
    values = [0.5, 0.5, None, 0.5, 0.0, 0.5, 0.5, 0.5]
    looks = [(NOW + timedelta(minutes=n), None if v is None else estimate(v)) for n, v in enumerate(values)]
    held = Threshold("above", 0.1, hold=timedelta(minutes=2))
    assert replay(looks, held) == [
        Episode(NOW + timedelta(minutes=3), NOW + timedelta(minutes=4)),
        Episode(NOW + timedelta(minutes=7)),
    ]
    assert replay(looks, Threshold("above", 0.9)) == [] == replay([], held)


def test_a_limit_is_replaced_where_it_stands_and_the_rest_of_the_rule_stays() -> None:
    rule = {"limit": 0.9, "nodata_after_seconds": 5, "also": [{"metric": "over_refusal", "limit": 0.3}]}
    for about in ("adversarial", "over_refusal"):
        new = Threshold("below", 0.2, timedelta(seconds=30))
        changed = thresholds(with_limit(rule, "adversarial", about, new), "adversarial")
        assert changed[about] == new
        (other,) = set(changed) - {about}
        assert changed[other].limit == thresholds(rule, "adversarial")[other].limit
    assert with_limit(rule, "adversarial", "nothing", new)["nodata_after_seconds"] == 5


def situation(metric: str, **changes: object) -> Situation:
    values: dict[str, object] = {
        "live_version": "assistant-v2",
        "previous_version": "assistant-v1",
        "events_since_release": 80,
        "settled_events": 500,
        "approved_pairs": 100,
        "minimum_pairs": 32,
    }
    return Situation(metric=metric, **{**values, **changes})  # type: ignore[arg-type]


def test_quality_that_falls_after_a_release_points_at_the_release() -> None:
    proposal = propose(situation("negative_feedback"))
    assert proposal.kind == "rollback"
    assert "assistant-v1" in proposal.reason
    assert "80 answers" in proposal.reason


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("response_length", "The length of answers changed 80 answers after assistant-v2 went live;"),
        ("negative_feedback", "Negative feedback got worse 80 answers after assistant-v2 went live;"),
    ],
)
def test_what_sees_both_ways_is_not_said_to_have_got_worse(metric: str, said: str) -> None:
    assert propose(situation(metric)).reason.startswith(said)


@pytest.mark.parametrize(
    ("metric", "kind"),
    [("response_length", "none"), ("latency", "none"), ("adversarial", "rollback"), ("errors", "rollback")],
)
def test_a_version_that_has_given_no_answer_is_not_rolled_back_for_answers(metric: str, kind: str) -> None:
    proposal = propose(situation(metric, events_since_release=0))
    assert proposal.kind == kind
    assert propose(situation(metric, events_since_release=1)).kind == "rollback"


def test_failures_of_a_version_that_nobody_asked_are_not_its_own() -> None:
    assert propose(situation("errors", events_since_release=0, asked_since_release=False)).kind == "none"
    told = propose(situation("errors", events_since_release=0, asked_since_release=True))
    assert told.kind == "rollback" and "before assistant-v2 had given an answer" in told.reason
    # Probes ask the live version themselves.
    assert propose(situation("adversarial", events_since_release=0, asked_since_release=False)).kind == "rollback"


@pytest.mark.parametrize(
    "changes", [{"previous_version": ""}, {"events_since_release": 501}, {"events_since_release": None}]
)
def test_without_a_recent_release_quality_is_mended_by_learning(changes: dict[str, object]) -> None:
    assert propose(situation("negative_feedback", **changes)).kind == "retrain"


def test_an_alarm_about_a_replaced_version_proposes_nothing_against_the_live_one() -> None:
    proposal = propose(situation("response_length", about_earlier=True))
    assert proposal.kind == "none"
    assert "replaced" in proposal.reason
    assert propose(situation("prompt_drift", about_earlier=True)).kind == "retrain"


def test_drift_is_met_by_learning_even_after_a_release() -> None:
    assert propose(situation("prompt_drift")).kind == "retrain"


@pytest.mark.parametrize("metric", ["response_drift", "prompt_pii", "prompt_sentiment"])
def test_what_may_be_wanted_is_read_before_anything_is_proposed(metric: str) -> None:
    proposal = propose(situation(metric))
    assert proposal.kind == "none" and "read the rows" in proposal.reason


@pytest.mark.parametrize("metric", ["response_pii", "response_format", "response_language", "response_sentiment"])
def test_worse_answers_soon_after_a_release_point_at_the_release(metric: str) -> None:
    assert propose(situation(metric, events_since_release=10)).kind == "rollback"


@pytest.mark.parametrize("metric", ["latency", "errors", "expert_load"])
def test_slow_or_failing_servers_are_never_met_by_learning(metric: str) -> None:
    proposal = propose(situation(metric, events_since_release=None))
    assert proposal.kind == "none" and "servers" in proposal.reason
    assert propose(situation(metric, events_since_release=10)).kind == "rollback"


def test_too_few_pairs_are_said_with_their_number() -> None:
    proposal = propose(situation("prompt_drift", approved_pairs=10))
    assert proposal.kind == "none"
    assert "22 more" in proposal.reason


def test_a_gate_passes_only_when_every_check_does() -> None:
    good, bad, open_ = (Check(v, v, "") for v in ("pass", "fail", "undecided"))  # type: ignore[arg-type]
    assert combine([good]) == "pass"
    assert combine([good, open_]) == "undecided"
    assert combine([good, open_, bad]) == "fail"
    assert combine([]) == "undecided"


def test_gate_checks_are_three_valued() -> None:
    assert judge_superiority("a", estimate(0.2, 0.1, 0.3)).verdict == "pass"
    assert judge_superiority("a", estimate(0.2, -0.1, 0.3)).verdict == "undecided"
    assert judge_superiority("a", estimate(-0.2, -0.3, -0.1)).verdict == "fail"
    assert judge_noninferiority("b", estimate(0.0, -0.05, 0.05), 0.1).verdict == "pass"
    assert judge_noninferiority("b", estimate(0.1, 0.05, 0.15), 0.1).verdict == "undecided"
    assert judge_noninferiority("b", estimate(0.3, 0.2, 0.4), 0.1).verdict == "fail"
    missing = judge_noninferiority("b", Estimate.missing(4, "test", 16), 0.1)
    assert (missing.verdict, "16 more" in missing.reason) == ("undecided", True)


def test_one_notice_tells_of_all_changes_with_a_key_that_repeats() -> None:
    changes = [
        Change("a1", "latency", "resolved", "warning", "back to 120 ms", 7),
        Change("a2", "prompt_drift", "firing", "warning", "new topic", 8),
    ]
    notice = compose(changes, link="http://console/alerts")
    assert notice.title == "Trimtab: 1 firing, 1 resolved"
    assert notice.text.splitlines()[0] == "[firing] prompt_drift: new topic"
    assert notice.key == compose(reversed(changes)).key
    assert notice.key != compose(changes[:1]).key
    with pytest.raises(ValueError):
        compose([])


def test_a_silence_covers_its_monitor_until_it_ends() -> None:
    hour = timedelta(hours=1)
    one = Silence("latency", "maintenance", "ann", NOW, NOW + hour)
    every = Silence("", "move", "ann", NOW, NOW + 2 * hour)
    assert covering([one, every], "latency", NOW) is every
    assert covering([one], "latency", NOW + hour) is None
    assert covering([one], "errors", NOW) is None


def test_a_naive_time_has_no_place() -> None:
    with pytest.raises(ValueError):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001
