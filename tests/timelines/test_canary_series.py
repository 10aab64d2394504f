"""Timelines of a canary: what users met, look by look, and what the worker made of it; crashes and people between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from core.errors import Conflict
from core.settings import RetrainSettings, Settings
from core.types import Feedback, Inference, ModelVersion
from gateway import pointer
from gateway.pointer import Pointer
from retrain.canary import Judgement, Tally
from retrain.trial import Trials
from store import audit, deployments, feedback, inferences, tables, trials, versions
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
OLD, NEW = "assistant-base", "assistant-v1"


@dataclass
class Bed:
    store: Store
    settings: Settings
    said: list[str]
    uuid: str = ""
    number: int = 0
    now: datetime = NOW

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def worker(self) -> Trials:
        return Trials(self.store, self.settings, clock=self.clock, tell=self.said.append)

    def begin(self, *, share: int = 20, shadow: int = 0, hold: bool = False) -> None:
        with self.store.write(self.clock()) as tx:
            self.uuid = deployments.request_promotion(
                tx, "assistant", NEW, actor="ann", reason="Better.", share=share, shadow=shadow, hold=hold
            )
            trials.begin(tx, self.row(tx)["id"], "shadow" if shadow else "canary", actor="system:release")

    def row(self, tx: Any) -> Any:
        return tx.one(sa.select(tables.deployments).where(tables.deployments.c.uuid == self.uuid))

    def traffic(self, version: str, number: int, *, disliked: int = 0, failed: int = 0, kind: Any = "live") -> None:
        """So many answers of `version`, each to a person of its own; of the first ones `disliked`, of all judged."""
        rows = []
        for place in range(number):
            self.number += 1
            rows.append(
                Inference(
                    str(UUID(int=self.number)),
                    self.clock(),
                    "assistant",
                    version,
                    kind,
                    [{"role": "user", "content": "Where is my parcel?"}],
                    "Where is my parcel?",
                    "It left the depot.",
                    status=503 if place < failed else 200,
                    user=f"user-{self.number}",
                )
            )
        with self.store.write(self.clock()) as tx:
            inferences.record(tx, rows)
            for place, row in enumerate(rows if kind == "live" else []):
                value = -1.0 if place < disliked else 1.0
                item = Feedback(str(UUID(int=10**6 + int(row.uuid[-6:], 16))), self.now, "thumb", row.uuid, value)
                feedback.record(tx, item)

    def state(self) -> tuple[str, str]:
        """The state of the trial's row, and the version that serves."""
        with self.store.read() as tx:
            assert audit.verify(tx).bad is None
            route = deployments.current(tx, "assistant")
            assert route is not None
            return str(self.row(tx)["state"]), str(route["version"])

    def evidence(self) -> Any:
        with self.store.read() as tx:
            return self.row(tx)["evidence"]

    def events(self) -> list[str]:
        with self.store.read() as tx:
            return [event.kind for event in audit.events(tx) if event.subject == self.uuid]

    def alerts(self) -> list[tuple[str, str]]:
        with self.store.read() as tx:
            rows = tx.all(sa.select(tables.alerts.c.state, tables.alerts.c.summary).order_by(tables.alerts.c.id))
            return [(row["state"], row["summary"]) for row in rows]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    store = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    with store.write(NOW) as tx:
        tx.insert(tables.accounts, name="ann", role="approver", password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate((OLD, NEW)):
            versions.register(
                tx, ModelVersion(name, str(number) * 64, "remote", "chat", name, NOW), actor="system:setup"
            )
        deployments.install(tx, "assistant", OLD, actor="system:setup")
    retrain = RetrainSettings(canary_answers=100)
    yield Bed(store, Settings(home=tmp_path, models_home=tmp_path, retrain=retrain), [])
    store.close()


def test_a_healthy_candidate_goes_live_at_its_horizon_and_not_before(bed: Bed) -> None:
    worker = bed.worker()
    bed.traffic(NEW, 50, disliked=50)  # what it answered before its canary is not of it
    bed.begin()
    for answers, expected in ((30, "canary"), (69, "canary"), (101, "live")):
        bed.traffic(NEW, answers, disliked=answers // 20)
        bed.traffic(OLD, 4 * answers, disliked=answers // 5)
        worker.step()
        assert bed.state()[0] == expected
    assert bed.state() == ("live", NEW)
    assert bed.events()[-2:] == ["deployment.judged", "deployment.live"]
    assert bed.alerts() == []
    assert bed.evidence()["outcome"] == "go"


def test_what_is_missing_is_kept_for_the_console(bed: Bed) -> None:
    bed.begin()
    bed.traffic(NEW, 30)
    bed.traffic(OLD, 120)
    bed.worker().step()
    kept = bed.evidence()
    assert (kept["outcome"], kept["answered"], kept["wanted"]) == ("wait", 30, 100)
    assert kept["needed"] >= 70
    assert [one["name"] for one in kept["measures"]] == ["negative_feedback", "refusal_rate", "errors"]
    assert all(one["candidate"]["n"] == 30 and one["champion"]["n"] == 120 for one in kept["measures"])


@pytest.mark.parametrize("bad", [{"disliked": 30}, {"failed": 30}])
def test_a_worse_candidate_is_rolled_back_with_an_alert(bed: Bed, bad: dict[str, int]) -> None:
    bed.begin()
    bed.traffic(OLD, 160, disliked=8)
    bed.traffic(NEW, 40, **bad)
    bed.worker().step()
    assert bed.state() == ("reverted", OLD)
    assert bed.events()[-2:] == ["deployment.judged", "deployment.aborted"]
    ((state, summary),) = bed.alerts()
    assert state == "firing"
    assert "rolled back" in summary
    bed.begin()
    bed.traffic(OLD, 480, disliked=8)
    bed.traffic(NEW, 120, disliked=2)
    bed.worker().step()
    assert bed.state() == ("live", NEW)
    assert [state for state, _ in bed.alerts()] == ["resolved"]


def test_a_worker_that_dies_between_judgement_and_write_is_followed_by_one_that_judges_alike(bed: Bed) -> None:
    bed.begin()
    bed.traffic(OLD, 160, disliked=8)
    bed.traffic(NEW, 40, disliked=30)
    dead = bed.worker()
    with bed.store.read() as tx:
        on_trial = dict(trials.running(tx)[0])
    first = dead.look(on_trial)
    assert first.outcome == "worse"
    assert bed.state() == ("canary", OLD), "nothing is written by a judgement alone"
    after = bed.worker()
    assert after.look(on_trial) == first
    after.step()
    assert bed.state() == ("reverted", OLD)
    dead.decide(on_trial, first)  # not dead after all, only late
    assert bed.events().count("deployment.aborted") == 1


def test_a_persons_word_wins_over_a_judgement_that_was_under_way(bed: Bed) -> None:
    bed.begin()
    bed.traffic(OLD, 160, disliked=8)
    bed.traffic(NEW, 40, disliked=30)
    worker = bed.worker()
    with bed.store.read() as tx:
        on_trial = dict(trials.running(tx)[0])
    found = worker.look(on_trial)
    with bed.store.write(bed.clock()) as tx:
        trials.promote(tx, bed.uuid, actor="ann", reason="We know why.")
    worker.decide(on_trial, found)
    worker.step()
    assert bed.state() == ("live", NEW)
    assert bed.alerts() == []


def test_a_rollback_by_the_pointer_wins_over_a_judgement_made_before_it_is_entered(bed: Bed) -> None:
    """While the database was away: the worker that first finds it back must not take the pointer's generation."""
    bed.settings = replace(bed.settings, retrain=RetrainSettings(canary_answers=20, canary_margin=0.0))
    bed.begin()
    bed.traffic(OLD, 80)
    bed.traffic(NEW, 20)
    pointed = Pointer("assistant", OLD, 2, "Garbled.", "command-line:ops", NOW.isoformat())
    pointer.write(bed.settings.pointer_path, pointed)
    bed.worker().step()
    assert (bed.state(), bed.evidence()["outcome"]) == (("canary", OLD), "go")
    with bed.store.write(bed.clock()) as tx:
        deployments.enter_rollback(tx, "assistant", to=OLD, generation=2, actor="ops", reason="Garbled.", at="now")
    bed.worker().step()
    assert bed.state() == ("reverted", OLD)


def test_a_trial_that_cannot_be_judged_keeps_no_other_waiting(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, look = bed.worker(), Trials.look
    bed.begin()
    bed.traffic(NEW, 50, disliked=50)
    bed.traffic(OLD, 200, disliked=10)

    def odd(self: Trials, row: Mapping[str, Any]) -> Judgement:
        if row["id"] == 0:
            raise Conflict("Its row is odd.", "Look into it.")
        return look(self, row)

    running = trials.running
    monkeypatch.setattr(trials, "running", lambda tx: [{**row, "id": 0} for row in running(tx)] + running(tx))
    monkeypatch.setattr(Trials, "look", odd)
    worker.step()
    assert bed.state()[0] == "reverted"
    assert [line for line in bed.said if "odd" in line]


def test_a_look_that_failed_midway_counts_nothing_twice(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.begin(shadow=60)
    worker, add = bed.worker(), Tally.add
    bed.traffic(NEW, 40, kind="shadow")
    calls = iter(range(10**6))

    def fails_once(self: Tally, event: bool) -> None:
        if next(calls) == 30:
            raise RuntimeError("unforeseen")
        add(self, event)

    monkeypatch.setattr(Tally, "add", fails_once)
    worker.step()
    worker.step()
    assert bed.state()[0] == "shadow", "40 copies are no 60"
    assert bed.evidence()["answered"] == 40


def test_a_held_canary_is_measured_and_moves_only_when_let_go(bed: Bed) -> None:
    bed.begin()
    with bed.store.write(bed.clock()) as tx:
        trials.hold(tx, bed.uuid, actor="ann", reason="The sale begins.")
    bed.traffic(OLD, 160, disliked=8)
    bed.traffic(NEW, 40, disliked=30)
    worker = bed.worker()
    worker.step()
    assert bed.state() == ("canary", OLD)
    assert bed.evidence()["outcome"] == "worse"
    with bed.store.write(bed.clock()) as tx:
        trials.let_go(tx, bed.uuid, actor="ann", reason="The sale is over.")
    worker.step()
    assert bed.state() == ("reverted", OLD)


def test_a_shadow_counts_copies_only_and_is_followed_by_the_canary(bed: Bed) -> None:
    bed.begin(shadow=60)
    worker = bed.worker()
    bed.traffic(OLD, 80, failed=80)
    bed.traffic(NEW, 59, kind="shadow")
    worker.step()
    assert bed.state() == ("shadow", OLD)
    bed.traffic(NEW, 1, kind="shadow")
    worker.step()
    assert bed.state() == ("canary", OLD)
    bed.traffic(OLD, 80)
    bed.traffic(NEW, 20)
    worker.step()
    assert bed.evidence()["answered"] == 20


def test_an_ab_test_begins_after_its_copies_and_is_held_from_then_on(bed: Bed) -> None:
    bed.begin(share=50, shadow=20, hold=True)
    worker = bed.worker()
    bed.traffic(NEW, 20, kind="shadow")
    worker.step()
    assert bed.state() == ("canary", OLD)
    bed.traffic(OLD, 30, disliked=1)
    bed.traffic(NEW, 30, disliked=30)
    worker.step()
    assert (bed.state(), bed.evidence()["outcome"]) == (("canary", OLD), "worse"), "it waits for a person"


def test_copies_that_a_person_holds_end_when_they_are_let_go(bed: Bed) -> None:
    bed.begin(share=50, shadow=20)
    with bed.store.write(bed.clock()) as tx:
        trials.hold(tx, bed.uuid, actor="ann", reason="The sale begins.")
    bed.traffic(NEW, 20, kind="shadow")
    worker = bed.worker()
    worker.step()
    assert bed.state() == ("shadow", OLD)
    with bed.store.write(bed.clock()) as tx:
        trials.let_go(tx, bed.uuid, actor="ann", reason="The sale is over.")
    worker.step()
    assert bed.state() == ("canary", OLD)


def test_a_shadow_whose_copies_fail_never_meets_anybody(bed: Bed) -> None:
    bed.begin(shadow=60)
    bed.traffic(NEW, 12, failed=12, kind="shadow")
    bed.worker().step()
    assert bed.state() == ("reverted", OLD)
    assert "deployment.canary" not in bed.events()
