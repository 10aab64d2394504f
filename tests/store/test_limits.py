"""Limits and weights as people change them: tried on the past by production's own rule, saved once, shared anew."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, InvalidInput
from core.rules import Threshold, thresholds
from core.settings import MonitorSettings
from core.types import Estimate, Measurement
from monitors import ledger, sequence, verdict
from monitors.statistics.budget import Budget
from store import accounts, audit, limits, options
from store import monitors as rows
from store.queries import budget as budget_queries
from store.queries import limits as queries
from store.tables import measurements
from store.unit_of_work import Store
from tests.monitors_world import World, world_on

DAYS = timedelta(days=30)


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path)
    with made.store.write(made.now) as tx:
        for name, role in {"otto": "operator", "vera": "viewer"}.items():
            accounts.create(tx, name, "a long password 1", role, actor="system:setup")
    return made


def look(world: World, name: str, found: list[Measurement], seconds: float = 60) -> None:
    """One look as production makes it: judged, kept, and its alerts moved, in one transaction."""
    world.now += timedelta(seconds=seconds)
    with world.store.write(world.now) as tx:
        monitor = rows.get(tx, name)
        judged = verdict.judge(found, monitor["rule"], monitor["metric"])
        for measurement in judged:
            rows.measure(tx, monitor["id"], measurement)
        sequence.raise_findings(tx, verdict.findings(monitor, judged))


def draw(rng: random.Random, segment: str) -> Measurement:
    """A measurement that is around the limits of these tests, missing or failed."""
    fate = rng.random()
    if fate < 0.1:
        return Measurement("errors", Estimate.missing(3, "exact", 17), "nodata", segment)
    if fate < 0.2:
        return Measurement("errors", Estimate.missing(0, "none"), "error", segment, "It failed.")
    value = rng.choice((0.005, 0.02, 0.05, 0.3))
    return Measurement("errors", Estimate(value, value * 0.7, value * 1.3, 100, "exact"), "ok", segment)


@pytest.mark.parametrize("direction", ["above", "below"])
@pytest.mark.parametrize("hold", [0, 60, 200])
def test_a_preview_fires_when_production_fires(world: World, direction: str, hold: int) -> None:
    rule = {"direction": direction, "limit": 0.03, "hold_seconds": hold}
    world.add("errors", rule=rule)
    rng = random.Random(f"{direction}/{hold}")
    for _ in range(80):
        look(world, "errors", [draw(rng, segment) for segment in ("", "web")], rng.choice((20, 60)))
    with world.store.read() as tx:
        looks = queries.past(tx, rows.get(tx, "errors")["id"], "errors", since=world.now - DAYS)
    fired = queries.would_fire(looks, thresholds(rule, "errors")["errors"])
    told = {(one.segment, one.episode.fired_at, one.episode.resolved_at) for one in fired}
    raised = [alert for alert in world.alerts("rule") if alert["fired_at"] is not None]
    assert raised
    assert told == {
        (alert["fingerprint"].removeprefix("rule:errors").lstrip(":"), alert["fired_at"], alert["resolved_at"])
        for alert in raised
    }
    assert (looks.count, looks.cut) == (160, False)
    assert looks.decided == sum(row["status"] in ("ok", "breach") for row in world.measured("errors"))


def test_a_preview_reads_the_newest_looks_and_says_that_there_are_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = world.add("errors")
    monkeypatch.setattr(queries, "MOST_LOOKS", 10)
    for value in (0.9, 0.9, *[0.0] * 10):
        look(world, "errors", [Measurement("errors", Estimate(value, value, value, 9, "exact"), "ok")])
    with world.store.read() as tx:
        looks = queries.past(tx, monitor["id"], "errors", since=world.now - DAYS)
        assert (looks.count, looks.cut) == (10, True)
        assert queries.would_fire(looks, Threshold("above", 0.5)) == []
        late = queries.past(tx, monitor["id"], "errors", since=world.now - timedelta(seconds=90))
    assert (late.count, late.cut) == (2, False)


def save(world: World, limit: float, *, actor: str = "otto", revision: int | None = None, **values: Any) -> None:
    with world.store.write(world.now) as tx:
        shown = rows.get(tx, "errors")["revision"] if revision is None else revision
        new = Threshold(values.pop("direction", "above"), limit, timedelta(seconds=values.pop("hold", 0)))
        limits.set_limit(tx, "errors", values.pop("about", "errors"), new, revision=shown, actor=actor, **values)


def test_a_saved_limit_counts_from_the_next_look_and_is_in_the_chain(world: World) -> None:
    before = world.add("errors")
    save(world, 0.5, direction="below", hold=30)
    with world.store.read() as tx:
        after = rows.get(tx, "errors")
        event = list(audit.events(tx))[-1]
        assert audit.verify(tx).bad is None
    assert after["revision"] == before["revision"] + 1
    assert after["rule"] == {**before["rule"], "direction": "below", "limit": 0.5, "hold_seconds": 30.0}
    assert (event.actor, event.kind, event.subject) == ("otto", "monitor.changed", "errors")
    assert (event.body["from"]["rule"]["limit"], event.body["to"]["rule"]["limit"]) == (0.02, 0.5)


def test_one_of_several_limits_is_changed_alone(world: World) -> None:
    world.add("adversarial")
    with world.store.write(world.now) as tx:
        monitor = rows.get(tx, "adversarial")
        others = thresholds(monitor["rule"], "adversarial")
        new = Threshold("above", 0.2)
        limits.set_limit(tx, "adversarial", "over_refusal", new, revision=monitor["revision"], actor="otto")
        held = thresholds(rows.get(tx, "adversarial")["rule"], "adversarial")
    assert len(others) > 1
    assert held["over_refusal"].limit == 0.2
    assert {**held, "over_refusal": others["over_refusal"]} == others


def test_what_may_not_be_saved_is_refused_and_leaves_nothing(world: World) -> None:
    monitor = world.add("errors")
    with pytest.raises(Conflict, match="changed since it was shown"):
        save(world, 0.5, revision=monitor["revision"] - 1)
    with pytest.raises(Forbidden):
        save(world, 0.5, actor="vera")
    with pytest.raises(InvalidInput, match="no plain limit"):
        save(world, 0.5, about="latency")
    with pytest.raises(InvalidInput, match="a number"):
        save(world, float("nan"))
    with pytest.raises(InvalidInput, match="held for that long"):
        save(world, 0.5, hold=-1)
    with world.store.read() as tx:
        assert rows.get(tx, "errors") == monitor
        assert "monitor.changed" not in {event.kind for event in audit.events(tx)}


def test_the_limit_of_a_firing_monitor_needs_a_confirmation_with_a_reason(world: World) -> None:
    world.add("errors")
    high = Measurement("errors", Estimate(0.3, 0.2, 0.4, 100, "exact"), "ok")
    look(world, "errors", [high])
    assert world.state("rule:errors") == "firing"
    with pytest.raises(Conflict, match="fires"):
        save(world, 0.5)
    with pytest.raises(InvalidInput, match="reason"):
        save(world, 0.5, confirmed=True, reason=" ")
    save(world, 0.5, confirmed=True, reason="The provider is down for the night.")
    with world.store.read() as tx:
        assert list(audit.events(tx))[-1].body["reason"] == "The provider is down for the night."
    look(world, "errors", [high])
    assert world.state("rule:errors") == "inactive"


STATISTICAL = ("prompt_drift", "refusal_rate", "response_length")


def shares(world: World) -> dict[str, float]:
    """Each monitor's part of what is left, as the page shows it."""
    with world.store.read(world.now) as tx:
        return {part.monitor: part.left for part in budget_queries.period(tx, 1.0).parts}


def grant(world: World, name: str, epoch: str) -> None:
    with world.store.write(world.now) as tx:
        ledger.grant(tx, rows.get(tx, name), epoch, MonitorSettings(budget=1.0))


def divided(world: World) -> dict[str, float]:
    """Each monitor's part as the ledger divided it last."""
    with world.store.read() as tx:
        kept = options.get(tx, budget_queries.LEDGER)
    assert kept is not None
    return {name: share.amount for name, share in Budget.from_dict(kept["budget"]).shares.items()}


def test_pausing_resuming_adding_and_weighting_share_the_rest_anew(world: World) -> None:
    for name in STATISTICAL[:2]:
        world.add(name)
    assert shares(world) == pytest.approx({"prompt_drift": 0.6, "refusal_rate": 0.4})
    grant(world, "prompt_drift", "prompt_drift/1")

    def pause(name: str, enabled: bool) -> None:
        with world.store.write(world.now) as tx:
            rows.pause(tx, name, enabled=enabled, actor="otto")

    def weigh(name: str, weight: float) -> None:
        with world.store.write(world.now) as tx:
            limits.set_weight(tx, name, weight, revision=rows.get(tx, name)["revision"], actor="otto")

    changes = [
        lambda: pause("refusal_rate", False),
        lambda: world.add("response_length"),
        lambda: pause("refusal_rate", True),
        lambda: weigh("response_length", 5.0),
    ]
    for number, change in enumerate(changes, 2):
        change()
        expected = shares(world)
        grant(world, "prompt_drift", f"prompt_drift/{number}")
        assert {name: amount for name, amount in expected.items() if amount} == pytest.approx(divided(world))
    with world.store.read(world.now) as tx:
        period = budget_queries.period(tx, 1.0)
        tried = budget_queries.period(tx, 1.0, weights={"prompt_drift": 7.0})
    assert {part.monitor: part.share for part in period.parts} == pytest.approx(
        {"prompt_drift": 0.3, "refusal_rate": 0.2, "response_length": 0.5}
    )
    assert tried.parts[0].share == pytest.approx(0.5)
    assert 0 < period.spent < 1 and period.left == pytest.approx(1 - period.spent)
    assert {part.monitor: part.epochs for part in period.parts}["prompt_drift"] == 5


def test_a_period_that_is_over_counts_for_nothing(world: World) -> None:
    world.add("prompt_drift")
    grant(world, "prompt_drift", "prompt_drift/1")
    world.now += timedelta(days=400)
    with world.store.read(world.now) as tx:
        period = budget_queries.period(tx, 1.0)
    assert (period.spent, period.ends_at) == (0.0, None)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_a_weight_that_cannot_share_is_refused(world: World, weight: float) -> None:
    monitor = world.add("prompt_drift")
    with world.store.write(world.now) as tx, pytest.raises(InvalidInput):
        limits.set_weight(tx, "prompt_drift", weight, revision=monitor["revision"], actor="otto")


def test_a_monitor_with_a_plain_limit_has_no_weight(world: World) -> None:
    monitor = world.add("errors")
    with world.store.write(world.now) as tx, pytest.raises(InvalidInput, match="no share"):
        limits.set_weight(tx, "errors", 2.0, revision=monitor["revision"], actor="otto")
    with world.store.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(measurements)) == 0
