"""The console's reads: each is quick at the size of a demonstration and goes by an index, never over all traffic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from core.types import Estimate, Measurement
from store import alerts as raised
from store import labels
from store import monitors as watched
from store.alerts import Finding
from store.queries import alerts, audit, commands, models, monitors, overview, pairs, probes, runs, service, traffic
from store.tables import feedback, inferences
from store.unit_of_work import Store, Tx
from tests import console_world
from tests.console_world import NOW, World

DAY = timedelta(days=1)
READS: dict[str, Callable[[Tx, World], Any]] = {
    "frame": lambda tx, world: overview.frame(tx, "assistant", world.now),
    "waiting": lambda tx, world: overview.waiting(tx, world.now),
    "tiles": lambda tx, world: overview.tiles(tx),
    "timeline": lambda tx, world: overview.timeline(tx, world.now - DAY),
    "budget": lambda tx, world: overview.budget(tx, world.now - 90 * DAY),
    "series": lambda tx, world: monitors.series(tx, 1, "prompt_drift", since=world.now - DAY),
    "latest look": lambda tx, world: monitors.latest_look(tx, 1),
    "next runs": lambda tx, world: monitors.next_runs(tx),
    "exchanges": lambda tx, world: monitors.exchanges(tx, uuids=world.rows[:5]),
    "alerts": lambda tx, world: alerts.listed(tx, firing=True),
    "transitions": lambda tx, world: alerts.transitions(tx, 1),
    "probe suites": lambda tx, world: probes.suites(tx),
    "passes": lambda tx, world: [probes.look(tx, row) for row in probes.newest(tx, 8, now=world.now)],
    "passes in trouble or asked for": lambda tx, world: (probes.asked(tx, "adversarial"), probes.failed_pass(tx, 8)),
    "labels": lambda tx, world: labels.of(
        tx, [row[3] for row in probes.newest(tx, 8, now=NOW)[0]["details"]["outcomes"]]
    ),
    "label counts": lambda tx, world: labels.counts(tx, "refusal"),
    "run": lambda tx, world: runs.one(tx, world.run),
    "progress": lambda tx, world: runs.progress(tx, 2),
    "registry": lambda tx, world: models.registry(tx),
    "history": lambda tx, world: models.history(tx, "assistant"),
    "lineage": lambda tx, world: models.lineage(tx, "assistant-v2"),
    "service": lambda tx, world: service.newest(tx, "assistant"),
    "disliked": lambda tx, world: service.disliked(tx, "assistant", "assistant-v1"),
    "priced": lambda tx, world: service.priced(tx, "assistant", "assistant-v1"),
    "answered": lambda tx, world: service.answered(tx, "assistant", "assistant-v1"),
    "audit": lambda tx, world: audit.newest(tx),
    "search": lambda tx, world: traffic.search(tx, "assistant", traffic.Wanted(words="loyalty")).rows,
    "one exchange": lambda tx, world: traffic.one(tx, world.rows[2]),
    "queue": lambda tx, world: traffic.queued(tx),
    "said": lambda tx, world: traffic.said_of(tx, range(1, 51)),
    "pair states": lambda tx, world: pairs.counts(tx),
    "pair flags": lambda tx, world: pairs.flagged(tx, ("quarantined", "rejected")),
    "pair papers": lambda tx, world: pairs.papers(tx),
    "pairs held": lambda tx, world: pairs.queue(tx, flag="trigger"),
    "one pair": lambda tx, world: pairs.one(tx, world.pair),
    "datasets": lambda tx, world: pairs.versions(tx) and pairs.version(tx, world.dataset),
    "topic map": lambda tx, world: commands.result(tx, commands.recent(tx, "topic_map", {})[0]["uuid"]),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = console_world.build_filled(tmp_path_factory.mktemp("queries"))
    yield made
    made.store.close()


@pytest.mark.parametrize("name", READS)
def test_a_read_is_quick_and_finds_something(world: World, name: str) -> None:
    took = []
    for _ in range(5):
        with world.store.read(world.now) as tx:
            began = time.perf_counter()
            found = READS[name](tx, world)
            took.append(time.perf_counter() - began)
    assert found
    assert min(took) < 0.05


@pytest.mark.parametrize("name", ["frame", "exchanges", "service", "priced", "answered", "search", "one exchange"])
def test_no_read_scans_the_traffic(world: World, name: str) -> None:
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "inferences" in statement:
            statements.append((statement, parameters))

    sa.event.listen(world.store.engine, "before_cursor_execute", note)
    try:
        with world.store.read(world.now) as tx:
            READS[name](tx, world)
    finally:
        sa.event.remove(world.store.engine, "before_cursor_execute", note)
    assert statements
    with world.store.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            steps = " ".join(str(row[-1]) for row in plan)
            assert "SCAN inferences" not in steps, steps
            assert "TEMP B-TREE" not in steps, steps


def test_hours_and_dislikes_are_those_of_the_rows(world: World) -> None:
    with world.store.read(world.now) as tx:
        (ended, *_) = [row for row in runs.listed(tx) if row["ended_at"] and row["started_at"]]
        took = (ended["ended_at"] - ended["started_at"]).total_seconds() / 3600
        assert service.run_hours(tx, ended["uuid"]) == took
        assert service.run_hours(tx, world.run) is None, "it runs"
        disliked, judged = service.disliked(tx, "assistant", "assistant-v1")
        assert disliked == judged == tx.scalar(sa.select(sa.func.count()).select_from(feedback)), "all press down here"
        assert service.disliked(tx, "assistant", "assistant-v2") == (0, 0)
        answered = service.answered(tx, "assistant", "assistant-v1")
        assert answered > 10 and service.answered(tx, "assistant", "assistant-v1", most=10) == 10
        assert service.answered(tx, "assistant", "assistant-v2") == 0


def test_numbers_are_those_of_the_rows(world: World) -> None:
    with world.store.read(world.now) as tx:
        frame = overview.frame(tx, "assistant", world.now)
        proposals, untaken = overview.waiting(tx, world.now)
        spent, epochs, alarms = overview.budget(tx, world.now - 90 * DAY)
        assert frame.route is not None
        assert (frame.route["version"], frame.verified, frame.firing) == ("assistant-v1", True, 1)
        assert (len(frame.proposed), frame.untaken) == (len(proposals), len(untaken)) == (2, 1)
        assert (round(spent, 3), epochs, alarms) == (0.1, 2, 0)
        assert frame.last_sample_at == tx.scalar(sa.select(sa.func.max(inferences.c.at)))
        assert [row["name"] for row in models.lineage(tx, "assistant-v2")] == [
            "assistant-v2",
            "assistant-v1",
            "assistant-base",
        ]
        assert len(monitors.series(tx, 1, "prompt_drift", since=world.now - DAY)) == 60


def test_of_several_looks_under_one_tick_the_last_counts(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        watched.ensure(tx, name="errors", metric="errors")
        monitor = watched.get(tx, "errors")
        tick = watched.claim_tick(tx, monitor, NOW, process="one", lease=timedelta(minutes=1))
        assert tick is not None
        for share in (0.1, 0.2):
            for segment in ("", "plan=free"):
                found = Measurement("errors", Estimate(share, 0.0, 0.5, 50, "exact"), "ok", segment)
                watched.measure(tx, monitor["id"], found, tick_id=tick.id)
    with empty_store.read(NOW) as tx:
        shown = monitors.latest_look(tx, monitor["id"])
    assert [(row["segment"], row["value"]) for row in shown] == [("", 0.2), ("plan=free", 0.2)]


def test_open_alerts_stand_by_urgency(empty_store: Store) -> None:
    findings = [
        Finding("latency", "rule", True, "Slow."),
        Finding("feedback", "rule", True, "Disliked.", severity="critical"),
        Finding("drift", "rule", True, "Moved."),
        Finding("length", "nodata", True, "Too few rows.", hold=timedelta(minutes=10)),
    ]
    with empty_store.write(NOW) as tx:
        for found in findings:
            raised.apply(tx, found)
    with empty_store.read(NOW) as tx:
        shown = [(row["monitor"], row["state"]) for row in alerts.listed(tx, firing=True)]
    assert shown == [("feedback", "firing"), ("drift", "firing"), ("latency", "firing"), ("length", "pending")]
