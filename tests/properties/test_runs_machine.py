"""Random walks over runs and deployments: the store makes only the moves that the tables in core.states allow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import TrimtabError
from core.states import DEPLOYMENT, RUN, RUN_STAGES
from core.types import ModelVersion
from store import audit, deployments, runs, tables, trials, versions
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
# What each audit event of a run says of the state after it; the others leave it.
STATES = {
    "run.queued": "queued",
    "run.started": "running",
    "run.crashed": "crashed",
    "run.requeued": "queued",
    "run.resumed": "queued",
    "run.succeeded": "succeeded",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}
OPERATIONS = ("claim", "beat", "late_beat", "advance", "crash", "hand_back", "stop", "resume", "finish", "lapse")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'trimtab.db'}", now=NOW)
    with opened.write(NOW) as tx:
        tx.insert(tables.accounts, name="ann", role="approver", password_hash="none", active=True, created_at=NOW)
        for number in range(4):
            version = ModelVersion(f"assistant-v{number}", str(number) * 64, "adapter", "chat", "", NOW)
            versions.register(tx, version, actor="x")
    yield opened
    opened.close()


@settings(max_examples=25)
@given(st.lists(st.sampled_from(OPERATIONS), max_size=25), st.sampled_from(["succeeded", "failed", "cancelled"]))
def test_a_run_walks_only_along_its_table(store: Store, operations: list[str], ending: str) -> None:
    with store.write(NOW) as tx:
        uuid = runs.queue(tx, spec={}, requested_by="ann")
        id, held, late = int(runs.get(tx, uuid)["id"]), 0, -1
    for name in operations:
        before = read(store, uuid)
        fence = None
        with suppress(TrimtabError), store.write(NOW) as tx:
            fence = operate(tx, name, uuid, id, held, late, ending)
        after = read(store, uuid)
        if fence is None:
            assert after == before, f"{name} was refused but changed something"
            if name in ("beat", "advance", "crash", "hand_back", "finish"):
                assert before["state"] != "running", "the holder's own write was refused"
            continue
        assert name != "late_beat", "a stale fence wrote"
        assert after["fence"] >= before["fence"]
        assert after["attempts"] < runs.MOST_CRASHES or after["state"] == "failed"
        if fence > held:
            held, late = fence, held
    with store.read() as tx:
        events = [event.kind for event in audit.events(tx) if event.subject == uuid]
        assert audit.verify(tx).bad is None
    state = "queued"
    for kind in events[1:]:
        # Handing back is a crash that is not counted, and its queueing, in one event.
        for new in ("crashed", "queued") if kind == "run.handed_back" else filter(None, [STATES.get(kind)]):
            assert RUN.allows(state, new), (state, new, events)
            state = new
    assert state == read(store, uuid)["state"]
    with store.write(NOW) as tx:
        tx.execute(sa.update(tables.runs).where(tables.runs.c.id == id).values(state="failed"))


def operate(tx: Tx, name: str, uuid: str, id: int, held: int, late: int, ending: str) -> int:
    """Do one thing to the run and return the fence that a claim gave, or the one held."""
    if name == "claim":
        row = runs.claim(tx, "w", lease_seconds=60)
        return int(row["fence"]) if row is not None else held
    if name == "lapse":
        lapsed = tables.runs.c.id == id, tables.runs.c.state == "running"
        tx.execute(sa.update(tables.runs).where(*lapsed).values(lease_until=NOW))
        row = runs.claim(tx, "w", lease_seconds=60)
        return int(row["fence"]) if row is not None else held
    if name == "late_beat":
        runs.heartbeat(tx, id, late, lease_seconds=60)
    elif name == "beat":
        runs.heartbeat(tx, id, held, lease_seconds=60)
    elif name == "advance":
        runs.advance(tx, id, held, RUN_STAGES[-1])
    elif name == "crash":
        runs.crash(tx, id, held, "It died.")
    elif name == "hand_back":
        runs.hand_back(tx, id, held, "It ends.")
    elif name == "stop":
        runs.request_stop(tx, uuid, actor="ann")
    elif name == "resume":
        runs.resume(tx, uuid, actor="ann")
    else:
        runs.finish(tx, id, held, ending, "Over.")
    return held


def read(store: Store, uuid: str) -> dict[str, Any]:
    with store.read() as tx:
        row = runs.get(tx, uuid)
        return {name: row[name] for name in ("state", "stage", "fence", "attempts", "stop_requested")}


ACTS = (
    "request",
    "flip",
    "fail",
    "back",
    "verify",
    "try",
    "shadow",
    "canary",
    "end",
    "promote",
    "abort",
    "hold",
    "let_go",
    "judge",
)
STEPS = st.tuples(st.sampled_from(ACTS), st.integers(0, 3))
NUMBERS = iter(range(1_000_000))


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=25))
def test_production_is_always_one_version_with_a_rising_generation(store: Store, steps: list[tuple[str, int]]) -> None:
    name = f"assistant-{next(NUMBERS)}"
    with store.write(NOW) as tx:
        deployments.install(tx, name, "assistant-v0", actor="x")
    generation = 1
    for act, number in steps:
        before = rows(store, name)
        done = False
        with suppress(TrimtabError), store.write(NOW) as tx:
            move(tx, name, act, number)
            done = True
        after = rows(store, name)
        assert done or after == before
        with store.read() as tx:
            route = deployments.current(tx, name)
        assert route is not None
        assert [id for id, (state, _) in after.items() if state == "live"] == [route["deployment_id"]]
        assert after[route["deployment_id"]][1] == route["generation"] >= generation
        assert route["previous"] != route["version"]
        tried = [(state, id) for id, (state, _) in after.items() if state in trials.ON_TRIAL]
        assert len(tried) <= 1, "one trial at a time"
        assert [route["trial"]] == ([state for state, _ in tried] or [""])
        assert bool(route["candidate"]) == bool(route["salt"]) == bool(tried)
        generation = int(route["generation"])
        for id, (state, _) in after.items():
            old = before[id][0] if id in before else DEPLOYMENT.start[0]
            assert state == old or DEPLOYMENT.allows(old, state), (old, state)


def move(tx: Tx, name: str, act: str, number: int) -> None:
    waiting = [row for row in deployments.requested(tx) if row["deployment"] == name]
    live = [row for row in deployments.unverified(tx) if row["deployment"] == name]
    if act == "request":
        deployments.request_promotion(tx, name, f"assistant-v{number}", actor="ann", reason="Better.")
    elif act == "back":
        deployments.roll_back(tx, name, actor="ann", reason="Worse.", to=f"assistant-v{number}")
    elif act == "verify" and live:
        deployments.verify(tx, live[0]["id"], "print", actor="x")
    elif act == "try":
        deployments.request_promotion(tx, name, f"assistant-v{number}", actor="ann", reason="Better.", share=20)
    elif act in ("end", "promote", "abort", "hold", "let_go", "judge") and (tried := trials.running(tx, name)):
        act_on_trial(tx, act, tried[0])
    elif act in ("shadow", "canary") and (found := [*waiting, *trials.running(tx, name)]):
        trials.begin(tx, found[number % len(found)]["id"], act, actor="x")  # type: ignore[arg-type]
    elif waiting and act == "flip":
        deployments.flip(tx, waiting[number % len(waiting)]["id"], actor="x")
    elif waiting and act == "fail":
        deployments.fail(tx, waiting[number % len(waiting)]["id"], "No.", actor="x")


def act_on_trial(tx: Tx, act: str, row: Any) -> None:
    if act == "end":
        deployments.flip(tx, row["id"], actor="x")
    elif act == "judge":
        assert trials.record(tx, row["id"], row["state"], {}) == (row["held_by"] == "")
    else:
        people = {"promote": trials.promote, "abort": trials.abort, "hold": trials.hold, "let_go": trials.let_go}
        people[act](tx, row["uuid"], actor="ann", reason="So.")


def rows(store: Store, name: str) -> dict[int, tuple[str, int]]:
    with store.read() as tx:
        found = tx.all(sa.select(tables.deployments).where(tables.deployments.c.deployment == name))
        return {row["id"]: (row["state"], row["generation"]) for row in found}
