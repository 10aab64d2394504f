"""Service levels and cost: grouped, with intervals, by formulas that are stated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.settings import CostSettings
from dashboard import service
from dashboard.views.service import line, pays, repays

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
RATES = CostSettings(prompt_million=1.0, completion_million=4.0, server_hour=3.6)


def rows(n: int, **values: Any) -> list[dict[str, Any]]:
    base = {"version": "v1", "labels": {}, "status": 200, "error": "", "prompt_tokens": 100, "completion_tokens": 50}
    base["compute_ms"] = None
    return [
        {**base, "id": i, "at": AT - timedelta(minutes=i), "latency_ms": 1000.0 + i, "first_token_ms": None, **values}
        for i in range(n)
    ]


def test_quantiles_have_intervals_and_say_what_they_lack() -> None:
    (group,) = service.groups(rows(200), service.VERSION, RATES)
    assert group.latency["p50"].value == pytest.approx(1099.0)
    assert group.latency["p95"].low is not None and group.latency["p95"].n == 200
    assert group.latency["p99"].value is None and group.latency["p99"].needed > 100
    assert group.speed.value == pytest.approx(50 / 1.1, rel=0.01)
    assert line(group)["first_token"] == "0 of 72 rows needed"
    assert line(group)["p50"].startswith("1,099 ms (") and "n = 200" in line(group)["p50"]


def test_groups_are_versions_or_the_values_of_a_label_largest_first() -> None:
    mixed = [*rows(30, labels={"team": "a"}), *rows(50, labels={"team": "b"}, version="v2"), *rows(5)]
    assert service.cuts(mixed) == ["version", "team"]
    assert [(g.name, g.requests) for g in service.groups(mixed, "team", RATES)] == [("b", 50), ("a", 30), ("", 5)]
    assert [g.name for g in service.groups(mixed, "version", RATES)] == ["v2", "v1"]
    assert len(service.within(mixed, AT - timedelta(minutes=9))) == 25
    many = [row for place in range(40) for row in rows(1, version=f"v{place}")]
    assert len(service.groups(many, "version", RATES)) == service.MOST_GROUPS


def test_errors_leave_the_clients_own_mistakes_out() -> None:
    mixed = [*rows(40), *rows(10, status=503), *rows(50, status=404), *rows(10, error="broken off")]
    (group,) = service.groups(mixed, service.VERSION, RATES)
    assert (group.errors.value, group.errors.n) == (pytest.approx(20 / 60), 60)


def test_money_is_tokens_and_request_seconds_at_their_prices() -> None:
    (group,) = service.groups(rows(10, latency_ms=36_000.0), service.VERSION, RATES)
    assert (group.prompt_tokens, group.completion_tokens, group.seconds) == (1000, 500, 360.0)
    assert group.money == pytest.approx(0.001 + 0.002 + 0.36)
    assert not service.priced(CostSettings()) and service.priced(CostSettings(server_hour=1))
    assert service.price(0, 0, 0.0, RATES) == 0


def test_computing_time_is_priced_where_the_server_tells_it() -> None:
    mixed = [*rows(10, latency_ms=36_000.0, compute_ms=3_600.0), *rows(5, latency_ms=36_000.0)]
    (group,) = service.groups(mixed, service.VERSION, RATES)
    assert (group.seconds, group.computing) == (540.0, pytest.approx(36.0))
    assert group.money == pytest.approx(0.0015 + 0.003 + 0.036 + 0.18)
    assert line(group)["computing"] == "36.0 of 10 answers", "not what all fifteen took"
    (whole,) = service.groups(mixed[:10], service.VERSION, RATES)
    assert line(whole)["computing"] == "36.0"
    (silent,) = service.groups(rows(5), service.VERSION, RATES)
    assert (silent.computing, line(silent)["computing"]) == (None, "not told")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ((60, 200), (20, 200), "answers"),
        ((30, 200), (28, 200), "or never"),
        ((0, 500), (400, 500), "never: no fewer"),
        ((3, 10), (1, 10), "not enough data"),
    ],
)
def test_training_pays_back_by_a_stated_formula(before: tuple[int, int], after: tuple[int, int], words: str) -> None:
    rates = CostSettings(training_hour=10.0, poor_answer=0.5)
    found = service.payback(2.0, before, after, rates)
    assert found.cost == 20.0
    assert words in pays(found)
    if words == "answers":
        low, high = found.answers
        assert low is not None and high is not None and low < 20 / (0.2 * 0.5) < high


def spent(n: int, tokens: int, each: int = 1) -> list[dict[str, Any]]:
    """`n` answers of about `tokens`, `each` of them in one conversation."""
    return [
        {"id": i, "conversation": f"c{i // each}" if each > 1 else "", "latency_ms": 500.0, "compute_ms": None,
         "prompt_tokens": 20, "completion_tokens": tokens + i % 7}
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (spent(300, 120), spent(300, 60), "after "),
        (spent(300, 60), spent(300, 120), "does not pay back at this rate"),
        (spent(300, 60), spent(300, 60), "at the best, or never"),
        (spent(300, 120), spent(4, 60), "not enough evidence: 4 of"),
        (spent(300, 120), [], "not enough evidence: 0 of"),
        (spent(300, 120), spent(300, 60, each=300), "not enough evidence"),
    ],
    ids=["cheaper", "dearer", "alike", "few", "none", "one conversation"],
)
def test_cheaper_answers_pay_training_back_only_on_evidence(before: Any, after: Any, told: str) -> None:
    rates = CostSettings(completion_million=1_000_000.0)
    found = service.saving(600.0, before, after, 1000, rates)
    assert told in repays(found)
    if told == "after ":
        low, high = found.each.low, found.each.high
        assert low is not None and high is not None
        assert found.each.value == pytest.approx(60) and low < 60 < high
        assert found.so_far == (low * 1000, high * 1000)
        soonest, latest = found.answers
        assert soonest is not None and latest is not None and soonest < 10 < latest


def test_server_time_is_part_of_what_an_answer_costs() -> None:
    slow, quick = ([{**row, "latency_ms": ms} for row in spent(100, 50)] for ms in (36_000.0, 3_600.0))
    found = service.saving(1.0, slow, quick, 10, CostSettings(server_hour=100.0))
    assert found.each.value == pytest.approx(0.9)
    free = service.saving(1.0, slow, quick, 10, CostSettings())
    assert free.each.value == 0 and "never" in repays(free)
