"""Segments in the store: set apart, released and rolled back alone, rolled back with all, and joined again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, NotFound
from core.segments import Segment, deployment_of
from core.types import Inference, ModelVersion
from monitors.sequence import live_release
from store import apart, audit, decisions, deployments, inferences, routes, segments, streams, tables, trials, versions
from store.unit_of_work import Store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NAMES = ("assistant-base", "assistant-v1", "assistant-v2")
PRO = Segment("plan", "pro")
PRO_NAME = "assistant@plan=pro"


@pytest.fixture
def store(empty_store: Store) -> Store:
    with empty_store.write(NOW) as tx:
        for name, role in (("ann", "approver"), ("otto", "operator")):
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        for number, name in enumerate(NAMES):
            version = ModelVersion(name, str(number) * 64, "remote", "chat", name, NOW, fingerprint=f"print-{name}")
            versions.register(tx, version, actor="system:setup")
        deployments.install(tx, "assistant", NAMES[0], actor="system:setup")
        people = (
            ("ann", {"plan": "pro"}),
            ("ann", {"plan": "pro"}),
            ("ben", {"plan": "free", "bad=name": "x"}),
            ("", {}),
        )
        inferences.record(tx, [met(place, user, labels) for place, (user, labels) in enumerate(people)])
    return empty_store


def met(place: int, user: str, labels: dict[str, str], deployment: str = "assistant") -> Inference:
    uuid = f"00000000-0000-0000-0000-{place:012d}"
    return Inference(
        uuid, NOW, deployment, "assistant-base", "live", [], "Hello?", "Hello.", user=user, labels=labels, status=200
    )


def request(store: Store, version: str = "assistant-v1", **how: Any) -> int:
    with store.write(NOW) as tx:
        uuid = apart.request(tx, "assistant", PRO, version, actor="ann", reason="Better for them.", **how)
        return int(tx.scalar(sa.select(tables.deployments.c.id).where(tables.deployments.c.uuid == uuid)))


def release(store: Store, version: str = "assistant-v1") -> None:
    id = request(store, version)
    with store.write(NOW) as tx:
        deployments.flip(tx, id, actor="system:release", fingerprint=f"print-{version}")


def promote(store: Store, version: str) -> None:
    with store.write(NOW) as tx:
        uuid = deployments.request_promotion(tx, "assistant", version, actor="ann", reason="Better.")
        id = tx.scalar(sa.select(tables.deployments.c.id).where(tables.deployments.c.uuid == uuid))
        deployments.flip(tx, id, actor="system:release", fingerprint=f"print-{version}")


def serving(store: Store) -> dict[str, tuple[str, int]]:
    with store.read() as tx:
        assert audit.verify(tx).bad is None
        return {route.deployment: (route.version, route.generation) for route in routes.listed(tx)}


def prove_and_join(store: Store) -> list[str]:
    with store.write(LATER) as tx:
        for row in deployments.unverified(tx):
            deployments.verify(tx, row["id"], f"print-{row['version']}", actor="system:release")
        return [name for name in apart.ended(tx) if apart.join(tx, name, actor="system:release")]


def test_a_segment_gets_its_version_alone_and_says_how_many_people_it_is(store: Store) -> None:
    with store.read() as tx:
        assert segments.seen(tx, "assistant") == {Segment("plan", "free"): 1, PRO: 1}, "people, not requests"
    release(store)
    assert serving(store) == {"assistant": ("assistant-base", 1), PRO_NAME: ("assistant-v1", 2)}
    with store.read() as tx:
        (own,) = segments.own(tx, "assistant")
        assert (own["version"], own["previous"], own["kind"]) == ("assistant-v1", "assistant-base", "promote")


def test_a_segment_that_nobody_is_in_is_refused_and_those_there_are_are_named(store: Store) -> None:
    with pytest.raises(InvalidInput, match="plan=gold") as error, store.write(NOW) as tx:
        apart.request(tx, "assistant", Segment("plan", "gold"), "assistant-v1", actor="ann", reason="x")
    assert "plan=free, plan=pro" in str(error.value)
    with pytest.raises(Conflict, match="already live"):
        request(store, "assistant-base")
    assert list(serving(store)) == ["assistant"], "nothing is set apart by what was refused"


def test_a_rollback_of_a_segment_moves_nobody_else_and_then_joins_everybody(store: Store) -> None:
    promote(store, "assistant-v1")
    release(store, "assistant-v2")
    with store.write(LATER) as tx:
        decisions.roll_back(tx, deployment=PRO_NAME, actor="ann", reason="Rude.", away_from="assistant-v2")
    assert serving(store) == {"assistant": ("assistant-v1", 2), PRO_NAME: ("assistant-v1", 3)}
    with store.read() as tx:
        assert apart.ended(tx) == [], "not before its fingerprint is proved"
    assert prove_and_join(store) == [PRO_NAME]
    assert serving(store) == {"assistant": ("assistant-v1", 2)}
    release(store, "assistant-v2")
    assert serving(store)[PRO_NAME] == ("assistant-v2", 5), "an old pointer must not reach a new route"


def test_a_segment_goes_back_to_whatever_served_everybody(store: Store) -> None:
    promote(store, "assistant-v1")
    release(store, "assistant-v2")
    with store.read() as tx:
        assert [row["version"] for row in deployments.earlier(tx, PRO_NAME)] == ["assistant-v1", "assistant-base"]
        assert [row["version"] for row in deployments.earlier(tx, "assistant")] == ["assistant-base"]
    with pytest.raises(NotFound), store.write(NOW) as tx:
        deployments.roll_back(tx, "assistant", actor="ann", reason="x", to="assistant-v2")
    with store.write(NOW) as tx:
        deployments.roll_back(tx, PRO_NAME, actor="ann", reason="x", to="assistant-base")
    assert prove_and_join(store) == []
    assert serving(store)[PRO_NAME] == ("assistant-base", 3), "other than everybody: it stays apart"


def test_a_rollback_of_everything_takes_every_segment_along(store: Store) -> None:
    promote(store, "assistant-v1")
    release(store, "assistant-v2")
    with store.write(LATER) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="Garbled.", everybody=True)
    assert {version for version, _ in serving(store).values()} == {"assistant-base"}
    assert prove_and_join(store) == [PRO_NAME]
    with store.read() as tx:
        assert not tx.all(sa.select(tables.deployments).where(tables.deployments.c.verified_at.is_(None), LIVE))


def test_nothing_that_was_asked_for_a_segment_goes_live_after_a_rollback_of_everything(store: Store) -> None:
    """Also where the segment is already at the version that everybody goes back to, so that nothing moves there."""
    id = request(store)
    promote(store, "assistant-v1")
    with store.write(LATER) as tx:
        decisions.roll_back(tx, deployment="assistant", actor="ann", reason="Garbled.", everybody=True)
        assert deployments.requested(tx) == []
        assert deployments.find(tx, id)["message"] == "Everybody was rolled back."
    assert {version for version, _ in serving(store).values()} == {"assistant-base"}


LIVE = tables.deployments.c.state == "live"


def test_a_trial_that_ends_leaves_no_segment_behind(store: Store) -> None:
    id = request(store, share=50, hold=True)
    with store.read() as tx:
        assert apart.ended(tx) == [], "a promotion is asked for"
    with store.write(NOW) as tx:
        trials.begin(tx, id, "canary", actor="system:release")
        assert apart.ended(tx) == []
        assert not trials.record(tx, id, "canary", {}), "an A/B test is held: the worker moves nothing"
        uuid = trials.running(tx, "assistant")[0]["uuid"]
    promote(store, "assistant-v2")
    assert serving(store)[PRO_NAME] == ("assistant-base", 1), "the comparison keeps its champion"
    with store.write(NOW) as tx:
        trials.abort(tx, uuid, actor="ann", reason="Seen enough.")
        assert apart.join(tx, PRO_NAME, actor="system:release")
        assert not deployments.unverified(tx) or PRO_NAME not in {
            row["deployment"] for row in deployments.unverified(tx)
        }
    assert serving(store) == {"assistant": ("assistant-v2", 2)}


def test_an_approval_for_a_segment_is_its_own_decision_and_leaves_the_proposal(store: Store) -> None:
    body = {"deployment": "assistant", "candidate": "assistant-v1"}
    with store.write(NOW) as tx:
        made = decisions.propose(
            tx,
            kind="promote",
            subject="assistant-v1",
            proposer="system:retrain",
            reason="It passed.",
            body=body,
            expires_at=NOW + timedelta(days=1),
        )
        digest = decisions.get(tx, made)["digest"]
        decisions.approve(tx, made, actor="ann", digest=digest, segment=PRO)
        row = deployments.requested(tx)[-1]
        assert (row["deployment"], row["version"], row["state"]) == (PRO_NAME, "assistant-v1", "requested")
        assert decisions.get(tx, made)["state"] == "proposed"
    with pytest.raises(Conflict, match="being promoted"), store.write(NOW) as tx:
        decisions.approve(tx, made, actor="ann", digest=digest, segment=PRO)
    with store.write(NOW) as tx:
        deployments.flip(tx, row["id"], actor="system:release")
        decisions.approve(tx, made, actor="ann", digest=digest)
        assert deployments.requested(tx)[-1]["deployment"] == "assistant"
        told = tx.all(sa.select(tables.decisions).order_by(tables.decisions.c.id))
    assert [(one["subject"], one["state"]) for one in told] == [
        ("assistant-v1", "approved"),
        ("assistant-v1@plan=pro", "executed"),
    ]


def test_watchers_see_all_whom_a_deployment_serves_and_a_trial_only_its_own(store: Store) -> None:
    with store.write(NOW) as tx:
        other = Segment("plan", "pro_x")
        named = [PRO_NAME, deployment_of("assistant", other), "assistant2", "assistant2@plan=pro"]
        inferences.record(tx, [met(10 + place, "eve", {}, name) for place, name in enumerate(named)])
    with store.read() as tx:
        assert inferences.key_range(tx, deployment="assistant")[2] == 6
        assert len(streams.openings(tx, 0, deployment="assistant", limit=20)[0]) == 6
        assert [row.deployment for row in trials.answers(tx, 0, deployment=PRO_NAME, kind="live", limit=9)] == [
            PRO_NAME
        ]
        assert len(trials.answers(tx, 0, deployment="assistant", kind="live", limit=9)) == 4


def test_monitors_of_answers_compare_all_of_them_while_a_segment_has_another_version(store: Store) -> None:
    with store.write(NOW) as tx:
        apart.set_apart(tx, "assistant", PRO, actor="ann")
        before = live_release(tx, "assistant")
    release(store)
    with store.read() as tx:
        after, alone = live_release(tx, "assistant"), live_release(tx, PRO_NAME)
    assert before is not None
    assert after is not None
    assert alone is not None
    assert (before.version, before.generation) == ("assistant-base", 1), "a trial alone begins no epoch"
    assert (after.version, after.generation) == ("", 3)
    assert (alone.version, alone.generation) == ("assistant-v1", 2)
