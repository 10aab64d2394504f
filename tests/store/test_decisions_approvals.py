"""Decisions: an approval is bound to what was shown, needs the role at that moment, and makes exactly one effect."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, IllegalMove, InvalidInput, NotFound
from core.types import ModelVersion
from store import audit, decisions, deployments, runs, tables, versions
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SOON = NOW + timedelta(hours=72)
SPEC = {"base": "chat", "champion": "assistant-base", "steps": 8}
PEOPLE = {"ann": "approver", "abe": "approver", "otto": "operator", "vera": "viewer"}
# The bar counts 500 rounds: APPROVAL_ROUNDS=500. Here a small number finds any race that is not rare.
ROUNDS = int(os.environ.get("APPROVAL_ROUNDS", "12"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        for name, role in PEOPLE.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(("assistant-base", "assistant-v1", "assistant-v2")):
            kind: Any = "adapter" if number else "base"
            digest = str(number) * 64
            version = ModelVersion(name, digest, kind, "chat", "", NOW, fingerprint=f"print-{name}")
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    yield opened
    opened.close()


def propose(store: Store, kind: str = "retrain", proposer: str = "system:policy", **changes: Any) -> tuple[str, str]:
    """Propose and return (uuid, digest of what a page shows)."""
    subject = {"retrain": "assistant", "promote": "assistant-v1", "rollback": "assistant"}[kind]
    body = {
        "retrain": {"spec": SPEC},
        "promote": {"deployment": "assistant"},
        "rollback": {"from": "assistant-v1", "to": "assistant-base"},
    }[kind]
    given: dict[str, Any] = {"subject": subject, "body": body, "expires_at": SOON, "reason": "Why not.", **changes}
    with store.write(NOW) as tx:
        uuid = decisions.propose(tx, kind=kind, proposer=proposer, **given)
        return uuid, str(decisions.get(tx, uuid)["digest"])


def approve(store: Store, uuid: str, digest: str, actor: str = "ann", at: datetime = NOW, **more: Any) -> str:
    with store.write(at) as tx:
        return decisions.approve(tx, uuid, actor=actor, digest=digest, **more)


def count(store: Store, table: sa.Table) -> int:
    with store.read() as tx:
        return int(tx.scalar(sa.select(sa.func.count()).select_from(table)))


def read(store: Store, reading: Callable[[Tx], Any]) -> Any:
    with store.read() as tx:
        return reading(tx)


def test_an_approved_retraining_makes_one_queued_run_and_a_row_for_each_step(store: Store) -> None:
    uuid, digest = propose(store)
    run = approve(store, uuid, digest, comment="Go.")
    row = read(store, lambda tx: runs.get(tx, run))
    assert (row["state"], row["spec"], row["requested_by"]) == ("queued", SPEC, "ann")
    decided = read(store, lambda tx: decisions.get(tx, uuid))
    assert (decided["state"], decided["decided_by"], decided["comment"]) == ("approved", "ann", "Go.")
    kinds = read(store, lambda tx: [event.kind for event in audit.events(tx)])
    assert kinds[-3:] == ["decision.proposed", "decision.approved", "run.queued"]
    assert read(store, audit.verify).bad is None


def test_an_approved_rollback_is_live_at_once_and_executed(store: Store) -> None:
    uuid, digest = propose(store, "promote")
    promotion = approve(store, uuid, digest)
    with store.write(NOW) as tx:
        waiting = deployments.requested(tx)
        assert [row["uuid"] for row in waiting] == [promotion]
        deployments.flip(tx, waiting[0]["id"], actor="system:release")
        assert decisions.get(tx, uuid)["state"] == "executed"
    uuid, digest = propose(store, "rollback")
    approve(store, uuid, digest)
    route = read(store, lambda tx: deployments.current(tx, "assistant"))
    assert (route["version"], route["generation"], route["previous"]) == ("assistant-base", 3, "")
    assert read(store, lambda tx: decisions.get(tx, uuid))["state"] == "executed"


def test_a_rollback_proposal_does_nothing_once_another_version_is_live(store: Store) -> None:
    uuid, digest = propose(store, "rollback")
    with pytest.raises(Conflict, match="assistant-v1 is no longer live"):
        approve(store, uuid, digest)
    assert read(store, lambda tx: decisions.get(tx, uuid))["state"] == "proposed"


def test_nobody_approves_their_own_proposal_unless_the_setting_allows_it(store: Store) -> None:
    uuid, digest = propose(store, proposer="ann")
    with pytest.raises(Forbidden, match="own proposal"):
        approve(store, uuid, digest)
    approve(store, uuid, digest, allow_self=True)
    assert count(store, tables.runs) == 1


def test_refused_approvals_change_nothing(store: Store) -> None:
    uuid, digest = propose(store)
    before = count(store, tables.audit_events)
    with pytest.raises(Conflict, match="not what you were shown"):
        approve(store, uuid, "0" * 64)
    with pytest.raises(Conflict, match="expired"):
        approve(store, uuid, digest, at=SOON)
    for name in ("otto", "vera", "nobody", "system:policy"):
        with pytest.raises(Forbidden):
            approve(store, uuid, digest, actor=name)
    with pytest.raises(NotFound):
        approve(store, "unknown", digest)
    with store.write(NOW) as tx:
        tx.execute(sa.update(tables.accounts).where(tables.accounts.c.name == "ann").values(role="operator"))
    with pytest.raises(Forbidden):
        approve(store, uuid, digest)
    assert count(store, tables.runs) == count(store, tables.approvals) == 0
    assert count(store, tables.audit_events) == before


def test_a_body_changed_behind_our_back_is_not_approved(store: Store) -> None:
    uuid, digest = propose(store)
    with store.write(NOW) as tx:
        tx.execute(sa.update(tables.decisions).values(body={"spec": {**SPEC, "steps": 9_999}}))
    with pytest.raises(Conflict, match="not what you were shown"):
        approve(store, uuid, digest)


def test_rejected_and_expired_proposals_stay_closed(store: Store) -> None:
    uuid, digest = propose(store)
    with store.write(NOW) as tx:
        with pytest.raises(Forbidden):
            decisions.reject(tx, uuid, actor="otto", reason="No.")
        with pytest.raises(InvalidInput):
            decisions.reject(tx, uuid, actor="ann", reason=" ")
        decisions.reject(tx, uuid, actor="ann", reason="Not now.")
    with pytest.raises(IllegalMove):
        approve(store, uuid, digest)
    later, digest = propose(store)
    with store.write(SOON) as tx:
        assert decisions.expire_due(tx) == 1
        assert decisions.expire_due(tx) == 0
    with pytest.raises(IllegalMove):
        approve(store, later, digest)
    assert count(store, tables.runs) == 0


def test_one_proposal_of_a_kind_waits_at_a_time(store: Store) -> None:
    uuid, digest = propose(store)
    assert propose(store)[0] == uuid
    assert propose(store, body={"spec": {"steps": 9}})[0] == uuid, "what somebody reads must not change under them"
    run = approve(store, uuid, digest)
    assert propose(store)[0] == uuid, "its run is not over"
    with store.write(NOW) as tx:
        runs.request_stop(tx, run, actor="ann")
    again, _ = propose(store)
    assert again != uuid
    assert read(store, lambda tx: decisions.get(tx, uuid))["state"] == "superseded"
    with store.write(NOW) as tx, pytest.raises(Conflict, match="superseded"):
        runs.resume(tx, run, actor="ann")


def test_newer_evidence_replaces_a_promotion_that_waits(store: Store) -> None:
    old, digest = propose(store, "promote")
    new, _ = propose(store, "promote", body={"deployment": "assistant", "report": "another"})
    assert new != old
    with pytest.raises(IllegalMove):
        approve(store, old, digest)


def test_proposing_needs_a_role_and_a_known_kind(store: Store) -> None:
    with pytest.raises(Forbidden):
        propose(store, proposer="vera")
    with store.write(NOW) as tx, pytest.raises(InvalidInput):
        decisions.propose(tx, kind="party", subject="x", proposer="system:policy", reason="", body={}, expires_at=SOON)
    propose(store, proposer="otto")


def test_simultaneous_approvals_make_exactly_one_run(store: Store) -> None:
    """Two people and a double click at the same instant, round after round."""
    for number in range(ROUNDS):
        uuid, digest = propose(store, subject=f"assistant-{number}", proposer="otto")
        made, refused = race(store, uuid, digest, ("ann", "abe", "ann", "otto"))
        assert len(made) == 1, (made, refused)
        assert len(refused) == 3
        rows = read(store, lambda tx: tx.all(sa.select(tables.runs.c.uuid).order_by(tables.runs.c.id)))
        assert [row["uuid"] for row in rows][number:] == made
    assert count(store, tables.approvals) == ROUNDS
    assert read(store, audit.verify).bad is None


def race(store: Store, uuid: str, digest: str, actors: tuple[str, ...]) -> tuple[list[str], list[Exception]]:
    made: list[str] = []
    refused: list[Exception] = []
    start = threading.Barrier(len(actors))

    def click(actor: str) -> None:
        start.wait()
        try:
            made.append(approve(store, uuid, digest, actor))
        except (Conflict, Forbidden) as error:
            refused.append(error)

    threads = [threading.Thread(target=click, args=(actor,)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made, refused
