"""Promotions on trial in the store: one at a time, moved by compare-and-set, and never past a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, IllegalMove, InvalidInput, NotFound, Unavailable
from core.types import Feedback, Inference, ModelVersion
from store import audit, decisions, deployments, feedback, inferences, routes, tables, trials, versions
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NAMES = ("assistant-base", "assistant-v1", "assistant-v2")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        for name, role in (("ann", "approver"), ("abe", "approver"), ("otto", "operator")):
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(NAMES):
            version = ModelVersion(name, str(number) * 64, "remote", "chat", name, NOW, fingerprint=f"print-{name}")
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", NAMES[0], actor="system:setup")
    yield opened
    opened.close()


def request(store: Store, name: str = "assistant-v1", *, share: int = 20, shadow: int = 0) -> tuple[int, str]:
    with store.write(NOW) as tx:
        uuid = deployments.request_promotion(
            tx, "assistant", name, actor="ann", reason="Better.", share=share, shadow=shadow
        )
        return int(_row(tx, uuid)["id"]), uuid


def _row(tx: Any, uuid: str) -> Any:
    return tx.one(sa.select(tables.deployments).where(tables.deployments.c.uuid == uuid))


def row(store: Store, uuid: str) -> Any:
    with store.read() as tx:
        return _row(tx, uuid)


def begin(store: Store, name: str = "assistant-v1", *, state: Any = "canary", share: int = 20) -> tuple[int, str]:
    id, uuid = request(store, name, share=share)
    with store.write(NOW) as tx:
        deployments.delay(tx, id, "The model server is away.")
        trials.begin(tx, id, state, actor="system:release", fingerprint=f"print-{name}")
    return id, uuid


def route(store: Store) -> routes.Route:
    with store.read() as tx:
        assert audit.verify(tx).bad is None
        return routes.listed(tx)[0]


def kinds(store: Store, uuid: str) -> list[str]:
    with store.read() as tx:
        return [event.kind for event in audit.events(tx) if event.subject == uuid]


def test_a_canary_gives_the_route_a_candidate_and_leaves_what_serves(store: Store) -> None:
    _, uuid = begin(store)
    found = route(store)
    assert (found.version, found.generation) == ("assistant-base", 1)
    assert (found.trial, found.candidate, found.candidate_kind, found.share) == (
        "canary",
        "assistant-v1",
        "remote",
        20,
    )
    assert found.salt == uuid
    assert kinds(store, uuid) == ["deployment.requested", "deployment.canary"]
    assert row(store, uuid)["message"] == "", "what kept it waiting is over"


def test_a_shadow_becomes_a_canary_and_then_live(store: Store) -> None:
    id, uuid = begin(store, state="shadow")
    assert route(store).trial == "shadow"
    with store.write(NOW) as tx:
        trials.begin(tx, id, "canary", actor="system:release")
    assert route(store).trial == "canary"
    with store.write(NOW) as tx:
        deployments.flip(tx, id, actor="system:release")
    found = route(store)
    assert (found.version, found.generation, found.trial, found.candidate, found.share, found.salt) == (
        "assistant-v1",
        2,
        "",
        "",
        0,
        "",
    )
    assert row(store, uuid)["fingerprint"] == "print-assistant-v1"
    with store.write(NOW) as tx, pytest.raises(IllegalMove):
        trials.begin(tx, id, "canary", actor="system:release")


def test_what_was_asked_for_and_cannot_be_loaded_is_called_off_by_a_person(store: Store) -> None:
    """Otherwise it goes live by surprise, hours later, when the server can load it again."""
    id, uuid = request(store)
    with store.write(NOW) as tx:
        deployments.delay(tx, id, "The model server is away.")
        assert [one["message"] for one in deployments.requested(tx, "assistant")] == ["The model server is away."]
        for verb in (trials.promote, trials.hold):
            with pytest.raises(Conflict, match="no longer on trial: it is requested"):
                verb(tx, uuid, actor="ann", reason="Now.")
        with pytest.raises(Forbidden):
            trials.abort(tx, uuid, actor="otto", reason="Not today.")
        trials.abort(tx, uuid, actor="ann", reason="Not today.")
    assert (row(store, uuid)["state"], row(store, uuid)["message"]) == ("reverted", "Aborted by ann: Not today.")
    assert kinds(store, uuid) == ["deployment.requested", "deployment.aborted"]


def test_one_trial_at_a_time_and_the_share_is_a_share(store: Store) -> None:
    id, _ = request(store)
    other, _ = request(store, "assistant-v2")
    with store.write(NOW) as tx:
        trials.begin(tx, id, "canary", actor="system:release")
    with pytest.raises(Conflict, match="moved on"), store.write(NOW) as tx:
        trials.begin(tx, other, "canary", actor="system:release")
    with pytest.raises(Conflict, match="moved on"), store.write(NOW) as tx:
        deployments.flip(tx, other, actor="system:release")
    with pytest.raises(Conflict, match="on trial"):
        request(store, "assistant-v2")
    with store.write(NOW) as tx:
        deployments.fail(tx, id, "Over.", actor="system:release", event="deployment.aborted")
    for share in (100, -1):
        with pytest.raises(InvalidInput):
            request(store, share=share)


def test_a_person_promotes_aborts_holds_and_lets_go_with_a_role_and_a_reason(store: Store) -> None:
    acts = (trials.promote, trials.abort, trials.hold, trials.let_go)
    _, uuid = begin(store)
    for act in acts:
        with pytest.raises(Forbidden), store.write(NOW) as tx:
            act(tx, uuid, actor="otto", reason="x")
        with pytest.raises(InvalidInput), store.write(NOW) as tx:
            act(tx, uuid, actor="ann", reason="  ")
        with pytest.raises(NotFound), store.write(NOW) as tx:
            act(tx, "nothing", actor="ann", reason="x")
    with store.write(NOW) as tx:
        trials.abort(tx, uuid, actor="ann", reason="It is rude.")
    assert (row(store, uuid)["state"], row(store, uuid)["message"]) == ("reverted", "Aborted by ann: It is rude.")
    assert (route(store).version, route(store).trial) == ("assistant-base", "")
    for act in acts:
        with pytest.raises(Conflict, match="no longer on trial"), store.write(NOW) as tx:
            act(tx, uuid, actor="abe", reason="x")
    _, uuid = begin(store)
    with store.write(NOW) as tx:
        trials.promote(tx, uuid, actor="ann", reason="Seen enough.")
    assert route(store).version == "assistant-v1"
    assert kinds(store, uuid)[-2:] == ["deployment.decided", "deployment.live"]


def test_the_workers_move_loses_to_a_persons(store: Store) -> None:
    id, uuid = begin(store)
    with store.write(NOW) as tx:
        assert trials.record(tx, id, "canary", {"answered": 1})
        trials.hold(tx, uuid, actor="ann", reason="A holiday.")
    with store.write(NOW) as tx:
        assert not trials.record(tx, id, "canary", {"answered": 2})
    assert row(store, uuid)["evidence"] == {"answered": 2}, "a held trial is still measured"
    with store.write(NOW) as tx:
        trials.let_go(tx, uuid, actor="ann", reason="It is over.")
        assert trials.record(tx, id, "canary", {"answered": 3})
        trials.abort(tx, uuid, actor="ann", reason="Enough.")
        assert not trials.record(tx, id, "canary", {"answered": 4})
        with pytest.raises(IllegalMove):
            deployments.flip(tx, id, actor="system:release")
    assert row(store, uuid)["evidence"] == {"answered": 3}


def test_a_rollback_ends_what_is_on_trial(store: Store) -> None:
    id, _ = request(store, "assistant-v2", share=0)
    with store.write(NOW) as tx:
        deployments.flip(tx, id, actor="system:release")
    _, uuid = begin(store)
    with store.write(NOW + timedelta(minutes=1)) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="It got worse.")
    assert (route(store).version, route(store).trial, route(store).generation) == ("assistant-base", "", 3)
    assert row(store, uuid)["state"] == "reverted"
    assert kinds(store, uuid)[-1] == "deployment.aborted"


def test_a_pointer_that_went_away_and_back_ends_what_is_on_trial(store: Store) -> None:
    _, uuid = begin(store)
    with store.write(NOW) as tx:
        deployments.enter_rollback(
            tx, "assistant", to="assistant-base", generation=4, actor="ops", reason="x", at=NOW.isoformat()
        )
    assert (route(store).trial, route(store).generation) == ("", 4)
    assert row(store, uuid)["state"] == "reverted"


def test_the_decision_behind_it_ends_with_it(store: Store) -> None:
    for act, then in ((trials.promote, "executed"), (trials.abort, "superseded")):
        with store.write(NOW) as tx:
            name = "assistant-v1" if act is trials.promote else "assistant-v2"
            body = {"deployment": "assistant"}
            made = decisions.propose(
                tx,
                kind="promote",
                subject=name,
                proposer="system:retrain",
                reason="It passed.",
                body=body,
                expires_at=NOW + timedelta(hours=1),
            )
            digest = decisions.get(tx, made)["digest"]
            uuid = decisions.approve(tx, made, actor="ann", digest=digest, share=20)
            trials.begin(tx, int(_row(tx, uuid)["id"]), "canary", actor="system:release")
            assert decisions.get(tx, made)["state"] == "approved"
            act(tx, uuid, actor="ann", reason="Now.")
            assert decisions.get(tx, made)["state"] == then


def test_what_users_met_is_read_in_order_by_unit_and_kind(store: Store) -> None:
    people = (("live", "ann", "c"), ("live", "", "c"), ("live", "", ""), ("shadow", "ann", ""), ("probe", "", ""))
    met = [
        Inference(
            f"00000000-0000-0000-0000-00000000000{place}",
            NOW,
            "assistant",
            "assistant-v1",
            kind,  # type: ignore[arg-type]
            [],
            "Hello?",
            "Hello.",
            user=user,
            conversation=conversation,
        )
        for place, (kind, user, conversation) in enumerate(people)
    ]
    with store.write(NOW) as tx:
        keys = inferences.record(tx, met)
        for place, value in ((0, -1.0), (0, 1.0), (1, 1.0), (2, -1.0)):
            feedback.record(tx, Feedback(str(uuid4()), NOW, "thumb", met[place].uuid, value))
    with store.read() as tx:
        live = trials.answers(tx, 0, deployment="assistant", kind="live", limit=10)
        assert [row.id for row in live] == keys[:3]
        assert [row.id for row in trials.answers(tx, keys[0], deployment="assistant", kind="live", limit=1)] == [
            keys[1]
        ]
        assert [row.id for row in trials.answers(tx, 0, deployment="assistant", kind="shadow", limit=10)] == [keys[3]]
        found = trials.judgements(tx, 0, deployment="assistant", from_inference=keys[0], limit=10)
        assert [item.negative for item, _ in found] == [1.0, 0.0, 1.0], "the first judgement of each answer"
        assert [unit for _, unit in found] == [row.user or row.conversation or row.uuid for row in live]
        assert trials.judgements(tx, found[-1][0].key, deployment="assistant", from_inference=0, limit=10) == []
        later = trials.judgements(tx, 0, deployment="assistant", from_inference=keys[1], limit=10)
        assert len(later) == 2


@pytest.mark.slow
@pytest.mark.postgres
def test_a_rollback_does_not_wait_for_a_process_that_hangs_in_a_transaction(postgres_url: str) -> None:
    """It then goes through the pointer, as with a database that is away; on SQLite that is the lock's own patience."""
    held = make_store(postgres_url, now=NOW)
    with held.write(NOW) as tx:
        for number, name in enumerate(NAMES[:2]):
            version = ModelVersion(name, str(number) * 64, "remote", "chat", name, NOW)
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", NAMES[0], actor="system:setup")
    hasty = Store.open(postgres_url, patience_seconds=1)
    with held.write(NOW) as hanging:
        deployments.lock(hanging, "assistant")
        with pytest.raises(Unavailable), hasty.write(NOW) as tx:
            deployments.roll_back(tx, "assistant", actor="ops", reason="Garbled.")
    hasty.close()
    held.close()
