"""The release loop: proof before a promotion and after a flip, an alert for a wrong answer, no half promotion."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from core.segments import Segment
from core.settings import Settings
from core.types import ModelVersion
from gateway import pointer
from gateway.pointer import Pointer
from retrain.asking import Answering, Asker, Refused
from retrain.release import Releaser
from store import apart, audit, decisions, deployments, routes, tables, versions
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NAMES = ("assistant-base", "assistant-v1", "assistant-v2")


class Gateway(Asker):
    """A gateway that serves what the store says, unless told otherwise."""

    def __init__(self, store: Store) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")
        self.store, self.away, self.refuses, self.stuck_at = store, False, False, 0
        self.prints = {name: f"print-{name}" for name in NAMES}
        self.asked: list[str] = []

    async def fingerprint(self, version: str = "", *, deployment: str = "") -> Answering:
        self.asked.append(version)
        if self.refuses and version:
            raise Refused("It was made for another base model.")
        if self.away:
            raise Unavailable("The gateway does not answer.")
        with self.store.read() as tx:
            route = deployments.current(tx, deployment or "assistant")
        assert route is not None
        name = version or str(route["version"])
        return Answering(name, self.stuck_at or int(route["generation"]), self.prints[name])


@dataclass
class Bed:
    home: Path
    store: Store
    gateway: Gateway
    now: datetime = NOW
    said: list[str] = field(default_factory=list)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += timedelta(milliseconds=300)
            asyncio.run(self.releaser().step())

    def releaser(self) -> Releaser:
        return Releaser(self.store, self.settings, self.gateway, clock=self.tick, tell=self.said.append)

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, models_home=self.home / "models")

    def point(self, to: str, generation: int) -> None:
        """As `trimtab rollback` did while the database was away; the gateway then stands at that generation."""
        told = Pointer("assistant", to, generation, "Garbled.", "command-line:ops", NOW.isoformat())
        pointer.write(self.settings.pointer_path, told)
        self.gateway.stuck_at = generation

    def events(self, kind: str) -> list[tuple[str, str, Any]]:
        with self.store.read() as tx:
            rows = tx.all(sa.select(tables.audit_events).where(tables.audit_events.c.kind == kind))
            return [(row["actor"], row["subject"], row["body"]) for row in rows]

    def tick(self) -> datetime:
        # A clock that stands still hides what happens when two readings differ.
        self.now += timedelta(milliseconds=100)
        return self.now

    def ask(self, name: str, segment: Segment | None = None) -> str:
        with self.store.write(self.now) as tx:
            if segment is not None:
                of = apart.set_apart(tx, "assistant", segment, actor="ann")
                return deployments.request_promotion(tx, of, name, actor="ann", reason="Better for them.")
            return deployments.request_promotion(tx, "assistant", name, actor="ann", reason="Better.")

    def row(self, uuid: str) -> Any:
        with self.store.read() as tx:
            return tx.one(sa.select(tables.deployments).where(tables.deployments.c.uuid == uuid))

    def live(self) -> str:
        with self.store.read() as tx:
            route = deployments.current(tx, "assistant")
            assert route is not None
            assert audit.verify(tx).bad is None
            return str(route["version"])

    def alerts(self) -> list[tuple[str, str]]:
        with self.store.read() as tx:
            rows = tx.all(sa.select(tables.alerts.c.state, tables.alerts.c.summary).order_by(tables.alerts.c.id))
            return [(row["state"], row["summary"]) for row in rows]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    store = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    with store.write(NOW) as tx:
        tx.insert(tables.accounts, name="ann", role="approver", password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(NAMES):
            known = f"print-{name}" if number else ""
            # Remote versions have no files here to look at.
            version = ModelVersion(name, str(number) * 64, "remote", "chat", name, NOW, fingerprint=known)
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    yield Bed(tmp_path, store, Gateway(store))
    store.close()


def test_the_first_version_is_registered_as_it_answers_and_proved(bed: Bed) -> None:
    bed.step()
    with bed.store.read() as tx:
        assert versions.get(tx, "assistant-base").fingerprint == "print-assistant-base"
        assert not deployments.unverified(tx)


def test_a_promotion_goes_live_after_its_proof_and_is_proved_again(bed: Bed) -> None:
    uuid = bed.ask("assistant-v1")
    bed.step()
    assert bed.gateway.asked[0] == "assistant-v1", "loaded and asked before anything moved"
    assert bed.live() == "assistant-v1"
    bed.step()
    assert bed.row(uuid)["verified_at"] is not None
    assert bed.alerts() == []


def test_a_candidate_that_answers_otherwise_never_goes_live(bed: Bed) -> None:
    bed.gateway.prints["assistant-v1"] = "something else"
    uuid = bed.ask("assistant-v1")
    bed.step(2)
    assert bed.live() == "assistant-base"
    assert bed.row(uuid)["state"] == "reverted"
    assert [state for state, _ in bed.alerts()] == ["firing"]


def test_a_promotion_waits_for_a_gateway_that_is_away(bed: Bed) -> None:
    bed.gateway.away = True
    uuid = bed.ask("assistant-v1")
    bed.step(3)
    assert (bed.row(uuid)["state"], bed.row(uuid)["message"]) == ("requested", "The gateway does not answer.")
    assert len(bed.said) <= 3
    bed.gateway.away = False
    bed.now += timedelta(seconds=5)
    bed.step()
    assert (bed.live(), bed.row(uuid)["message"]) == ("assistant-v1", "")


def test_a_version_that_the_server_refuses_ends_the_promotion(bed: Bed) -> None:
    bed.gateway.refuses = True
    uuid = bed.ask("assistant-v1")
    bed.step()
    assert (bed.row(uuid)["state"], bed.row(uuid)["message"]) == ("reverted", "It was made for another base model.")
    assert bed.live() == "assistant-base"


def test_a_worker_that_died_midway_is_followed_by_one_that_finishes(bed: Bed) -> None:
    """Whatever a killed worker had done, its row says requested or live, and both are picked up."""
    uuid = bed.ask("assistant-v1")
    with bed.store.read() as tx:
        waiting = deployments.requested(tx)[0]
    asyncio.run(bed.gateway.fingerprint("assistant-v1"))  # killed after the proof, before the flip
    bed.step()
    assert bed.row(uuid)["state"] == "live"
    with bed.store.write(NOW) as tx, pytest.raises(Exception, match="cannot become live"):
        deployments.flip(tx, waiting["id"], actor="system:release")  # a second worker that was late
    bed.step()  # killed after the flip, before the second proof
    assert bed.row(uuid)["verified_at"] is not None


def test_an_overtaken_promotion_ends_with_a_message(bed: Bed) -> None:
    first, second = bed.ask("assistant-v1"), bed.ask("assistant-v2")
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert (bed.row(first)["state"], bed.row(second)["state"]) == ("live", "reverted")
    assert "moved on" in bed.row(second)["message"]


def test_a_rollback_is_proved_after_the_flip(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    assert bed.live() == "assistant-base"
    bed.step()
    row = bed.row(uuid)
    assert (row["state"], row["fingerprint"]) == ("live", "print-assistant-base")
    assert row["verified_at"] is not None


def test_a_wrong_answer_after_a_flip_raises_an_alert_until_it_is_right(bed: Bed) -> None:
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.prints["assistant-base"] = "an impostor"
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.step(2)
    assert bed.row(uuid)["verified_at"] is None
    assert "not as assistant-base was registered" in bed.row(uuid)["message"]
    assert [state for state, _ in bed.alerts()] == ["firing"]
    bed.gateway.prints["assistant-base"] = "print-assistant-base"
    bed.now += timedelta(minutes=1)
    bed.step()
    assert bed.row(uuid)["verified_at"] is not None
    assert bed.row(uuid)["message"] == ""
    assert [state for state, _ in bed.alerts()] == ["resolved"]


def test_a_gateway_that_does_not_follow_is_told_about(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.stuck_at = 1
    with bed.store.write(bed.now) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.step()
    assert bed.alerts() == [], "it has five seconds"
    bed.now += timedelta(seconds=6)
    bed.step()
    assert [state for state, _ in bed.alerts()] == ["firing"]


def test_a_version_that_is_loaded_late_and_then_answers_wrongly_is_told_as_that(bed: Bed) -> None:
    """The first doubt, that the gateway is slow, must not hide the second, that somebody else answers."""
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.stuck_at, bed.gateway.prints["assistant-base"] = 1, "an impostor"
    with bed.store.write(bed.now) as tx:
        uuid = decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.now += timedelta(seconds=6)
    bed.step()
    assert "still answers" in bed.row(uuid)["message"]
    bed.gateway.stuck_at = 0
    bed.step()
    assert "not as assistant-base was registered" in bed.row(uuid)["message"]
    assert len(bed.events("deployment.doubted")) == 2
    assert [state for state, _ in bed.alerts()] == ["firing"]


@pytest.mark.parametrize(("generation", "most"), [(0, 1), (1, 1), (9, 8)], ids=["impostor", "behind", "ahead"])
def test_a_proof_that_does_not_come_is_asked_for_now_and_then(bed: Bed, generation: int, most: int) -> None:
    """Each print takes passes of the model that people wait for: 30 looks must not make 30 prints."""
    bed.step()
    bed.ask("assistant-v1")
    bed.step(2)
    bed.gateway.stuck_at, bed.gateway.prints["assistant-base"] = generation, "an impostor"
    with bed.store.write(bed.now) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    bed.now += timedelta(minutes=1)
    bed.step()
    releaser, before = bed.releaser(), len(bed.gateway.asked)
    for _ in range(30):
        asyncio.run(releaser.step())
    assert len(bed.gateway.asked) - before <= most


def test_a_rollback_by_the_pointer_is_entered_audited_and_proved(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-base", 3)
    bed.step(2)
    assert bed.live() == "assistant-base"
    ((actor, uuid, body),) = bed.events("deployment.pointed")
    assert actor == "command-line:ops"
    assert body == {
        "deployment": "assistant",
        "version": "assistant-base",
        "generation": 3,
        "reason": "Garbled.",
        "at": NOW.isoformat(),
    }
    row = bed.row(uuid)
    assert (row["kind"], row["actor"], row["reason"]) == ("rollback", "command-line:ops", "Garbled.")
    assert (row["state"], row["fingerprint"]) == ("live", "print-assistant-base")
    assert row["verified_at"] is not None
    bed.step(3)
    assert len(bed.events("deployment.pointed")) == 1, "a pointer is entered once"
    assert bed.alerts() == []


def test_a_pointer_that_went_away_and_back_again_leaves_the_gateway_and_the_store_at_one_generation(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-v1", 4)
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert len(bed.events("deployment.pointed")) == 1
    with bed.store.read() as tx:
        assert not deployments.unverified(tx)
        route = deployments.current(tx, "assistant")
    assert route is not None
    assert route["generation"] == 4
    bed.gateway.stuck_at = 0
    bed.ask("assistant-v2")
    bed.step(2)
    assert bed.live() == "assistant-v2"


def test_a_pointer_that_the_store_has_overtaken_changes_nothing(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-base", 2)
    bed.gateway.stuck_at = 0
    bed.step(2)
    assert bed.live() == "assistant-v1"
    assert bed.events("deployment.pointed") == []


def test_a_pointer_that_another_worker_entered_meanwhile_is_no_trouble(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.point("assistant-base", 3)
    seen = pointer.read(bed.settings.pointer_path)["assistant"]
    bed.step()
    asyncio.run(bed.releaser().enter(seen))
    assert (bed.live(), bed.alerts()) == ("assistant-base", [])
    assert len(bed.events("deployment.pointed")) == 1


def test_a_pointer_to_what_never_served_raises_one_alert_and_hinders_nothing(bed: Bed) -> None:
    bed.step()
    bed.point("assistant-v2", 9)
    releaser = bed.releaser()
    for _ in range(3):
        asyncio.run(releaser.step())
    assert bed.live() == "assistant-base"
    assert bed.events("deployment.pointed") == []
    ((state, summary),) = bed.alerts()
    assert state == "firing"
    assert "assistant-v2 never served assistant" in summary
    assert len([line for line in bed.said if "pointer" in line]) == 1


def serving(bed: Bed) -> dict[str, str]:
    with bed.store.read() as tx:
        assert audit.verify(tx).bad is None
        return {route.deployment: route.version for route in routes.listed(tx)}


PRO, PRO_NAME = Segment("plan", "pro"), "assistant@plan=pro"


def test_a_segments_champion_is_proved_by_its_own_fingerprint_and_joins_when_it_is_everybodys(bed: Bed) -> None:
    bed.step()
    uuid = bed.ask("assistant-v1", PRO)
    bed.step(2)
    assert serving(bed) == {"assistant": "assistant-base", PRO_NAME: "assistant-v1"}
    assert bed.row(uuid)["verified_at"] is not None
    with bed.store.write(bed.now) as tx:
        deployments.roll_back(tx, PRO_NAME, actor="ann", reason="Rude.", to="assistant-base")
    bed.step()
    assert serving(bed) == {"assistant": "assistant-base", PRO_NAME: "assistant-base"}, "proved first"
    bed.step()
    assert serving(bed) == {"assistant": "assistant-base"}
    ((actor, _, body),) = bed.events("deployment.joined")
    assert (actor, body) == ("system:release", {"deployment": PRO_NAME, "version": "assistant-base"})


def test_a_failed_promotion_of_a_segment_has_its_own_alert_and_leaves_nobody_apart(bed: Bed) -> None:
    bed.gateway.refuses = True
    bed.ask("assistant-v1", PRO)
    bed.step(2)
    assert serving(bed) == {"assistant": "assistant-base"}
    bed.gateway.refuses = False
    bed.ask("assistant-v2")
    bed.step(2)
    assert bed.live() == "assistant-v2"
    ((state, summary),) = bed.alerts()
    assert (state, "assistant-v1" in summary) == ("firing", True), "a success elsewhere does not resolve it"


def test_pointers_of_everybody_and_of_a_segment_are_all_entered(bed: Bed) -> None:
    bed.ask("assistant-v1")
    bed.step(2)
    bed.ask("assistant-v2", PRO)
    bed.step(2)
    told = [Pointer(name, "assistant-base", 9, "Garbled.", "ops", NOW.isoformat()) for name in ("assistant", PRO_NAME)]
    pointer.write(bed.settings.pointer_path, *told)
    releaser = bed.releaser()
    for _ in range(5):
        bed.now += timedelta(milliseconds=300)
        asyncio.run(releaser.step())
    assert serving(bed) == {"assistant": "assistant-base"}, "both entered and proved, then one again"
    assert len(bed.events("deployment.pointed")) == 2
    assert bed.alerts() == []


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("share", [0, 20])
def test_a_second_worker_that_was_slower_ends_nothing_that_the_first_began(bed: Bed, share: int, refuses: bool) -> None:
    """Both read the same request; the slower one finds it carried out, or its own look at the candidate fails."""
    with bed.store.write(bed.now) as tx:
        uuid = deployments.request_promotion(
            tx, "assistant", "assistant-v1", actor="ann", reason="Better.", share=share
        )
    with bed.store.read() as tx:
        (seen,) = deployments.requested(tx)
    bed.step()
    state = "canary" if share else "live"
    assert bed.row(uuid)["state"] == state
    bed.gateway.refuses = refuses
    asyncio.run(bed.releaser().promote(seen))
    assert bed.row(uuid)["state"] == state
    assert (bed.alerts(), bed.events("deployment.failed")) == ([], [])
    with bed.store.write(bed.now) as tx:
        if share:
            assert routes.listed(tx)[0].candidate == "assistant-v1"
        else:
            deployments.roll_back(tx, "assistant", actor="ann", reason="The way back stays open.")
