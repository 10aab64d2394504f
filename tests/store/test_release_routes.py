"""Deployments: one live version, promotions that do not overtake, and rollbacks that go back once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, IllegalMove, InvalidInput, NotFound
from core.types import ModelVersion
from store import audit, decisions, deployments, tables, versions
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NAMES = ("assistant-base", "assistant-v1", "assistant-v2", "assistant-v3")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        for name in ("ann", "abe"):
            tx.insert(tables.accounts, name=name, role="approver", password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(NAMES):
            kind: Any = "adapter" if number else "base"
            version = ModelVersion(name, str(number) * 64, kind, "chat", "", NOW, fingerprint=f"print-{name}")
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", NAMES[0], actor="system:setup")
    yield opened
    opened.close()


def request(tx: Tx, name: str) -> int:
    uuid = deployments.request_promotion(tx, "assistant", name, actor="ann", reason="Better.")
    return int(tx.scalar(sa.select(tables.deployments.c.id).where(tables.deployments.c.uuid == uuid)))


def promote(store: Store, *names: str) -> None:
    for name in names:
        with store.write(NOW) as tx:
            deployments.flip(tx, request(tx, name), actor="system:release", fingerprint=f"print-{name}")


def live(store: Store) -> tuple[str, str, int]:
    with store.read() as tx:
        route = deployments.current(tx, "assistant")
        assert route is not None
        rows = tx.all(sa.select(tables.deployments.c.id).where(tables.deployments.c.state == "live"))
        assert [row["id"] for row in rows] == [route["deployment_id"]]
        assert audit.verify(tx).bad is None
        return str(route["version"]), str(route["previous"]), int(route["generation"])


def test_installing_twice_changes_nothing_and_another_version_is_refused(store: Store) -> None:
    with store.write(NOW) as tx:
        deployments.install(tx, "assistant", NAMES[0], actor="system:setup")
        with pytest.raises(Conflict):
            deployments.install(tx, "assistant", NAMES[1], actor="system:setup")
    assert live(store) == ("assistant-base", "", 1)


def test_promotions_follow_one_another(store: Store) -> None:
    promote(store, "assistant-v1", "assistant-v2")
    assert live(store) == ("assistant-v2", "assistant-v1", 3)
    with store.read() as tx:
        assert [row["version"] for row in deployments.earlier(tx, "assistant")] == ["assistant-v1", "assistant-base"]


def test_a_promotion_that_was_overtaken_is_not_carried_out(store: Store) -> None:
    with store.write(NOW) as tx:
        first, second = request(tx, "assistant-v1"), request(tx, "assistant-v2")
    with store.write(NOW) as tx:
        deployments.flip(tx, second, actor="system:release")
    with pytest.raises(Conflict, match="moved on"), store.write(NOW) as tx:
        deployments.flip(tx, first, actor="system:release")
    with store.write(NOW) as tx:
        deployments.fail(tx, first, "Production moved on.", actor="system:release")
    assert live(store) == ("assistant-v2", "assistant-base", 2)
    with pytest.raises(IllegalMove), store.write(NOW) as tx:
        deployments.flip(tx, first, actor="system:release")


def test_rolling_back_goes_to_the_last_good_version_and_never_to_a_reverted_one(store: Store) -> None:
    promote(store, "assistant-v1", "assistant-v2")
    with store.write(NOW) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It refuses everything.")
    assert live(store) == ("assistant-v1", "assistant-base", 4)
    with store.write(NOW + timedelta(minutes=5)) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="abe", reason="Still wrong.")
    assert live(store) == ("assistant-base", "", 5)
    with store.write(NOW + timedelta(minutes=9)) as tx, pytest.raises(Conflict, match="no earlier version"):
        decisions.roll_back(tx, deployment="assistant", actor="abe", reason="And more.")
    with store.write(NOW + timedelta(minutes=9)) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="abe", reason="It was fine.", to="assistant-v2")
    assert live(store)[0] == "assistant-v2"


def test_a_rollback_wants_a_role_a_reason_and_a_version_that_served(store: Store) -> None:
    promote(store, "assistant-v1")
    with store.write(NOW) as tx, pytest.raises(Forbidden):
        decisions.roll_back(tx, deployment="assistant", actor="nobody", reason="x")
    with store.write(NOW) as tx, pytest.raises(InvalidInput):
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="  ")
    with store.write(NOW) as tx, pytest.raises(NotFound):
        deployments.roll_back(tx, "assistant", actor="ann", reason="x", to="assistant-v3")
    with store.write(NOW) as tx, pytest.raises(NotFound):
        deployments.roll_back(tx, "elsewhere", actor="ann", reason="x")
    assert live(store) == ("assistant-v1", "assistant-base", 2)


@pytest.mark.parametrize("away_from", ["assistant-v2", None])
def test_two_people_on_the_rollback_button_go_back_one_version(store: Store, away_from: str | None) -> None:
    promote(store, "assistant-v1", "assistant-v2")
    done: list[str] = []
    refused: list[Exception] = []
    start = threading.Barrier(4)

    def click(actor: str) -> None:
        start.wait()
        try:
            with store.write(NOW) as tx:
                done.append(
                    decisions.roll_back(
                        tx, deployment="assistant", actor=actor, reason="It got worse.", away_from=away_from
                    )
                )
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=click, args=(actor,)) for actor in ("ann", "abe", "ann", "abe")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(done), len(refused)) == (1, 3), refused
    assert live(store) == ("assistant-v1", "assistant-base", 4)


def test_a_rollback_beats_a_promotion_that_waits(store: Store) -> None:
    promote(store, "assistant-v1")
    with store.write(NOW) as tx:
        waiting = request(tx, "assistant-v2")
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    with pytest.raises(Conflict), store.write(NOW) as tx:
        deployments.flip(tx, waiting, actor="system:release")
    assert live(store)[0] == "assistant-base"


def test_only_the_versions_own_fingerprint_verifies(store: Store) -> None:
    promote(store, "assistant-v1")
    with store.write(NOW) as tx:
        row = deployments.unverified(tx)[-1]
        assert not deployments.verify(tx, row["id"], "print-assistant-base", actor="system:release")
        assert not deployments.verify(tx, row["id"], "", actor="system:release")
        assert deployments.verify(tx, row["id"], "print-assistant-v1", actor="system:release")
        assert row["id"] not in [other["id"] for other in deployments.unverified(tx)]


def test_a_version_is_what_it_was_registered_as(store: Store) -> None:
    version = ModelVersion("assistant-v1", "1" * 64, "adapter", "chat", "", NOW)
    with store.write(NOW) as tx:
        assert versions.register(tx, version, actor="x") == versions.get(tx, "assistant-v1").id
        with pytest.raises(Conflict):
            versions.register(tx, ModelVersion("assistant-v1", "9" * 64, "adapter", "chat", "", NOW), actor="x")
        with pytest.raises(Conflict):
            versions.register(tx, ModelVersion("assistant-v9", "1" * 64, "adapter", "chat", "", NOW), actor="x")
        assert versions.next_name(tx, "assistant") == "assistant-v4"
        assert versions.next_name(tx, "other") == "other-v1"
