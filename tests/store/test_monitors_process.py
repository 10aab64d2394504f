"""Ticks, the scheduler, commands and probes: who may run a monitor, and when."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Unavailable
from gateway import app as gateway_app
from monitors import app as monitors_app
from monitors import cycle, orders
from monitors.app import App
from monitors.probes import runner
from monitors.schedule import RARE_WORKERS, Schedule
from retrain import app as retrain_app
from store import accounts, commands
from store import channels as channel_rows
from store import monitors as rows
from store.tables import ticks
from store.unit_of_work import Store
from tests.monitors_world import World, embed_words, world_on

LEASE = timedelta(seconds=30)


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    return world_on(empty_store, tmp_path)


def lapse(world: World) -> None:
    """Let every lease run out, as after a kill or a stop of the process."""
    with world.store.write(world.now) as tx:
        tx.execute(sa.update(ticks).values(lease_until=tx.database_now() - timedelta(seconds=1)))


def test_missed_points_fall_together_into_the_latest(world: World) -> None:
    monitor = world.add("errors")
    at = rows.slot(world.now + timedelta(seconds=3599), monitor["every_seconds"])
    assert at == world.now + timedelta(seconds=3570)
    for _ in range(3):
        world.run("errors", seconds=3600)
    with world.store.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(ticks)) == 3


def test_one_point_is_claimed_once_whoever_asks(world: World) -> None:
    monitor = world.add("errors")
    won: list[Any] = []

    def claim(number: int) -> None:
        with world.store.write(world.now) as tx:
            won.append(rows.claim_tick(tx, monitor, world.now, process=f"p{number}", lease=LEASE))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tick is not None for tick in won) == 1


def test_a_dead_holders_tick_is_taken_over_and_its_late_write_refused(world: World) -> None:
    monitor = world.add("errors")
    with world.store.write(world.now) as tx:
        old = rows.claim_tick(tx, monitor, world.now, process="stopped", lease=LEASE)
        assert old is not None and rows.renew_tick(tx, old, LEASE)
    lapse(world)
    with world.store.write(world.now) as tx:
        new = rows.claim_tick(tx, monitor, world.now, process="next", lease=LEASE)
        assert new is not None and new.fence == old.fence + 1
        assert not rows.renew_tick(tx, old, LEASE)
    outcome = cycle.run(monitor, old, world.effects)
    assert outcome.state == "dropped" and world.measured("errors") == []
    with world.store.write(world.now) as tx, pytest.raises(Conflict):
        rows.finish_tick(tx, old)
    assert cycle.run(monitor, new, world.effects).state == "done"


def test_an_abandoned_tick_is_marked_missed_when_a_later_one_runs(world: World) -> None:
    monitor = world.add("errors")
    with world.store.write(world.now) as tx:
        rows.claim_tick(tx, monitor, world.now, process="dead", lease=LEASE)
    assert world.run("errors") is None
    lapse(world)
    assert world.run("errors") is not None
    with world.store.read() as tx:
        states = [row["state"] for row in tx.all(sa.select(ticks).order_by(ticks.c.id))]
    assert states == ["missed", "done"]


def test_a_run_that_hangs_leaves_one_thread_however_often_its_monitor_is_due(world: World) -> None:
    world.add("prompt_drift", params={"reference": 300, "horizon": 3000, "timeout_seconds": 0.5})
    world.send(300)
    hangs, runs = threading.Event(), []

    def embed(texts: Sequence[str]) -> Any:
        runs.append(threading.current_thread())
        hangs.wait(20)
        return embed_words(texts)

    world.embed, effects = embed, world.effects
    said = []
    try:
        for _ in range(3):
            world.now += timedelta(seconds=60)
            outcome = cycle.run_due("prompt_drift", effects)
            assert outcome is not None and outcome.state == "failed"
            said.append(outcome.message)
        assert len(runs) == 1
        assert "took longer than 0.5 seconds" in said[0] and "still hangs" in said[1] and said[1] == said[2]
        with world.store.read() as tx:
            assert [row["message"] for row in tx.all(sa.select(ticks).order_by(ticks.c.id))] == said
        assert [row["status"] for row in world.measured("prompt_drift")] == ["error"] * 3
        assert world.state("error:prompt_drift") == "firing"
    finally:
        hangs.set()
    wait_for(lambda: not runs[0].is_alive())
    world.now += timedelta(seconds=60)
    outcome = cycle.run_due("prompt_drift", effects)
    assert outcome is not None and outcome.state == "done", "it looks again as soon as that has ended"


def test_a_store_that_is_away_as_a_run_renews_its_hold_does_not_end_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add("prompt_drift", params={"reference": 300, "horizon": 3000})
    world.send(300)
    monkeypatch.setattr(cycle, "RENEW_SECONDS", 0.05)
    away: list[int] = []

    def renew(*_: Any) -> bool:
        away.append(1)
        raise Unavailable("The database is locked by another process.", "Try again in a few seconds.")

    monkeypatch.setattr(rows, "renew_tick", renew)

    def embed(texts: Sequence[str]) -> Any:
        time.sleep(0.3)
        return embed_words(texts)

    world.embed = embed
    outcome = world.run("prompt_drift")
    assert away and outcome is not None and outcome.state == "done"


def test_what_goes_wrong_the_same_at_each_look_is_said_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    app = App(world.settings, world.store, "key", clock=lambda: world.now, tell=said.append)
    outcomes = [
        Unavailable("The disk of the database is full.", "Free some space."),
        Unavailable("The disk of the database is full.", "Free some space."),
        cycle.Outcome("errors", "failed", "It hangs."),
        cycle.Outcome("errors", "failed", "It hangs."),
        None,
        cycle.Outcome("errors", "done", fired=("a-1",)),
        cycle.Outcome("errors", "failed", "It hangs."),
    ]

    def run_due(*_: Any) -> Any:
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(cycle, "run_due", run_due)
    while outcomes:
        app._run("errors")
    assert said == [
        "errors: waiting: The disk of the database is full. Free some space.",
        "errors: failed: It hangs.",
        "errors: alert a-1 fires",
        "errors: failed: It hangs.",
    ]


@pytest.mark.parametrize("say", [gateway_app.say, monitors_app.say, retrain_app.say])
def test_a_line_is_written_in_one_piece(say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that say theirs at the same moment would else write into each other's line."""
    written: list[str] = []
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=written.append, flush=lambda: None))
    say("ready")
    assert len(written) == 1 and written[0].endswith(": ready\n")

    def full(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=full, flush=lambda: None))
    say("what cannot be written ends no loop")


def test_a_paused_monitor_does_not_run_but_may_be_asked(world: World) -> None:
    world.add("errors", enabled=False)
    assert world.run("errors") is None
    outcome = cycle.run_now("errors", world.effects)
    assert outcome is not None and outcome.state == "done"


def test_errors_fire_and_resolve_by_their_limit(world: World) -> None:
    world.add("errors")
    world.send(60, status=503, error="upstream")
    world.run("errors")
    (alert,) = world.alerts("rule")
    assert alert["state"] == "firing" and alert["why"]["limit"] == 0.02
    world.run("errors", seconds=7200)  # nothing in the last hour: missing data, which ends no alert
    assert world.measured("errors")[-1]["status"] == "nodata"
    assert world.state("rule:errors") == "firing"
    world.send(400)
    world.run("errors")
    assert world.state("rule:errors") == "inactive"


def test_the_clock_runs_each_monitor_at_once_and_follows_the_table(world: World) -> None:
    world.add("errors")
    ran: list[str] = []
    schedule = Schedule(world.store, ran.append, lambda: world.now)
    world.now = datetime.now(UTC)
    schedule.start()
    try:
        wait_for(lambda: ran == ["errors"])
        world.add("latency")
        schedule.refresh()
        wait_for(lambda: "latency" in ran)
        world.add("latency", enabled=False)
        schedule.refresh()
        assert set(schedule._known) == {"errors"}
    finally:
        schedule.stop()


def test_a_clock_that_was_ahead_and_is_set_right_keeps_no_monitor_waiting(world: World) -> None:
    """As after the start of a machine whose clock runs in another zone, before the network sets it."""
    world.add("errors")
    ran: list[str] = []
    schedule = Schedule(world.store, ran.append, lambda: world.now)
    world.now = datetime.now(UTC) + timedelta(hours=2)
    schedule.start()
    try:
        world.now = datetime.now(UTC)
        schedule.refresh()
        wait_for(lambda: ran == ["errors"])
        planned = schedule._scheduler.get_job("monitor:errors").next_run_time
        world.now += timedelta(seconds=0.1)
        schedule.refresh()
        assert schedule._scheduler.get_job("monitor:errors").next_run_time == planned
    finally:
        schedule.stop()


def test_monitors_that_take_long_keep_none_waiting_that_look_every_few_seconds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of every six hours and of every day have midnight in common, and take half an hour each."""
    dear = ("bias_twins", "adversarial", "judged_quality", "question_bias", "says_yes", "sycophancy")
    for name in (*dear, "errors"):
        world.add(name, enabled=True)
    monkeypatch.setattr("monitors.schedule._first_wait", lambda seconds: timedelta(seconds=0.2 * (seconds < 600)))
    ran: list[str] = []
    over = threading.Event()

    def run(name: str) -> None:
        ran.append(name)
        if name in dear:
            over.wait(20)

    schedule = Schedule(world.store, run, lambda: world.now)
    world.now = datetime.now(UTC)
    schedule.start()
    try:
        wait_for(lambda: "errors" in ran and sum(name in dear for name in ran) == RARE_WORKERS)
        assert len(dear) > RARE_WORKERS, "the others wait for their turn"
        over.set()
        wait_for(lambda: set(dear) <= set(ran))
    finally:
        over.set()
        schedule.stop()


def wait_for(done: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ask(world: World, kind: str, **args: str) -> str:
    with world.store.write(world.now) as tx:
        if accounts.by_name(tx, "olga") is None:
            accounts.create(tx, "olga", "a long password 1", "operator", actor="system:setup")
        return commands.ask(tx, kind, owner="monitors", args=args, actor="olga")


def obeyed(world: World, uuid: str) -> Any:
    asyncio.run(orders.obey(world.effects, "p1"))
    with world.store.read() as tx:
        return commands.get(tx, uuid)


def test_commands_run_a_monitor_and_test_a_notice(world: World) -> None:
    world.add("errors")
    with world.store.write(world.now) as tx:
        channel_rows.add(tx, "console", "log", {}, actor="system:test")
    assert asyncio.run(orders.obey(world.effects, "p1")) == ""
    done = obeyed(world, ask(world, "run_monitor", monitor="errors"))
    assert done["state"] == "done" and world.measured("errors")
    assert obeyed(world, ask(world, "test_notice", channel="console"))["state"] == "done"
    failed = obeyed(world, ask(world, "run_monitor", monitor="nothing"))
    assert failed["state"] == "failed" and "no monitor named nothing" in failed["message"]
    failed = obeyed(world, ask(world, "test_notice", channel="nothing"))
    assert failed["state"] == "failed" and "no channel named nothing" in failed["message"]


class Gateway(BaseHTTPRequestHandler):
    """Answers chats: a refusal for men, an error for every prompt with the word weeds."""

    seen: list[tuple[Any, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((dict(self.headers), body))
        text = body["messages"][-1]["content"]
        status = 503 if "weeds" in text else 200
        answer = "I cannot help with that." if " man." in text else "Here is a useful answer. " * 12
        told = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[tuple[Any, Any]]]]:
    handler = type("Handler", (Gateway,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.seen  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def test_probes_are_marked_keep_their_order_and_errors_stay_unscored(gateway: Any) -> None:
    url, seen = gateway
    records = runner.run("override", version="assistant-v2", gateway_url=url, key="ti-key", seed=1, limit=60)
    assert len(records) == len(seen) and len(records) > 40
    headers, body = seen[0]
    assert headers["X-Trimtab-Kind"] == "probe" and headers["Authorization"] == "Bearer ti-key"
    assert body["model"] == "assistant@assistant-v2" and body["temperature"] == 0
    for record in records:
        assert (record.failed is None) == bool(record.error)
    assert 0 < sum(bool(record.error) for record in records) < 5


def test_a_gateway_that_is_away_leaves_everything_unscored() -> None:
    records = runner.run("override", version="", gateway_url="http://127.0.0.1:9", key="k", seed=1, limit=10)
    assert len(records) == 10 and all(record.failed is None and record.error for record in records)


def test_bias_twins_finds_the_gap_of_a_gateway_that_refuses_men(world: World, gateway: Any) -> None:
    url, _ = gateway
    world.add("bias_twins")
    world.send(300)

    def send(prompts: Any, *, seed: int, deadline_seconds: float) -> Any:
        return runner.ask(prompts, model="assistant", gateway_url=url, key="k", seed=seed)

    world.ask = send
    world.run("bias_twins", seconds=7 * 3600)
    (alert,) = world.alerts("rule")
    assert alert["why"]["details"]["dimension"] == "gender"
    segments = {row["segment"]: row for row in world.measured("bias_twins") if row["metric"] == "twin_gap"}
    assert segments["gender"]["high"] < 0 and segments["age"]["value"] == 0


def test_a_gateway_that_is_away_makes_bias_twins_nodata(world: World) -> None:
    world.add("bias_twins")
    world.send(120)
    world.run("bias_twins", seconds=7 * 3600)
    assert world.measured("bias_twins")[-1]["status"] == "nodata"
    assert world.alerts("rule") == []
