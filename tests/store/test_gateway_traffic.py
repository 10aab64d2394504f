"""What the gateway keeps: rows once, texts apart, users as hashes, reads by key, feedback tied to answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from core.errors import Forbidden, InvalidInput, NotFound
from core.types import Feedback, Inference, ModelVersion
from store import accounts, deployments, feedback, inferences, keys, routes, versions
from store.unit_of_work import Store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def make(**changes: Any) -> Inference:
    row = Inference(
        uuid=str(uuid4()),
        at=NOW,
        deployment="assistant",
        version="assistant-base",
        kind="live",
        messages=[{"role": "user", "content": "where is it"}],
        prompt="where is it",
        response="in the post",
        user="anna",
        labels={"topic": "delivery"},
    )
    return replace(row, **changes)


def test_recorded_rows_are_read_back_in_key_order_and_only_once(empty_store: Store) -> None:
    rows = [make(prompt=f"p{n}", at=NOW - timedelta(hours=n)) for n in range(5)]
    with empty_store.write(NOW) as tx:
        first = inferences.record(tx, rows)
        assert inferences.record(tx, rows) == first
        assert inferences.record(tx, [rows[2], make(prompt="new")])[0] == first[2]
    with empty_store.read() as tx:
        read = inferences.after(tx, 0, limit=100)
        assert [row.prompt for row in read] == ["p0", "p1", "p2", "p3", "p4", "new"]
        assert [row.id for row in read] == sorted(row.id for row in read)
        assert read[0].messages == rows[0].messages
        assert (read[0].labels, read[0].at) == ({"topic": "delivery"}, NOW)
        assert [row.id for row in inferences.after(tx, first[1], limit=2)] == first[2:4]
        assert [row.prompt for row in inferences.by_ids(tx, [first[3], first[0], 10**9])] == ["p0", "p3"]
        assert inferences.by_uuid(tx, rows[1].uuid).prompt == "p1"
        with pytest.raises(NotFound):
            inferences.by_uuid(tx, str(uuid4()))


def test_users_are_kept_as_one_pseudonym_each(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        inferences.record(tx, [make(user="anna"), make(user="anna"), make(user="bert"), make(user="")])
        one, two, other, nobody = (row.user for row in inferences.after(tx, 0, limit=9))
        assert one == two != other
        assert nobody == ""
        kept = str(tx.all(sa.text("SELECT * FROM inferences")))  # type: ignore[arg-type]
        assert "anna" not in kept


def test_ranges_and_counts_hold_to_kind_version_and_deployment(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        assert inferences.key_range(tx) == (0, 0, 0)
        ids = inferences.record(
            tx,
            [make(), make(kind="probe"), make(kind="import"), make(version="assistant-v1"), make(deployment="other")],
        )
        assert inferences.key_range(tx) == (ids[0], ids[4], 4)
        assert inferences.key_range(tx, kinds=("probe",)) == (ids[1], ids[1], 1)
        assert inferences.key_range(tx, deployment="assistant") == (ids[0], ids[3], 3)
        assert inferences.count_after(tx, ids[0]) == 3
        assert inferences.count_after(tx, ids[0], version="assistant-v1") == 1
        assert [row.id for row in inferences.after(tx, 0, version="assistant-v1", limit=9)] == [ids[3]]


def test_texts_no_database_takes_are_made_takeable(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        inferences.record(tx, [make(prompt="a\0b", response="half \ud800 pair", labels={"k\0": "v\0"})])
        (row,) = inferences.after(tx, 0, limit=9)
        assert row.prompt == "a\ufffdb"
        assert row.response.startswith("half \ufffd")
        assert row.labels == {"k\ufffd": "v\ufffd"}


def test_feedback_is_recorded_once_and_found_by_answer(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        rows = [make(), make(version="assistant-v1")]
        ids = inferences.record(tx, rows)
        thumb = Feedback(str(uuid4()), NOW, "thumb", rows[0].uuid, -1.0, contributor="anna")
        assert feedback.record(tx, thumb)
        assert not feedback.record(tx, thumb)
        assert feedback.record(tx, Feedback(str(uuid4()), NOW, "correction", rows[1].uuid, chosen="better"))
        with pytest.raises(NotFound):
            feedback.record(tx, Feedback(str(uuid4()), NOW, "thumb", str(uuid4()), 1.0))
        (first, second) = feedback.for_inferences(tx, ids[0], ids[1])
        assert first[:2] == (ids[0], "assistant-base")
        assert (first[2].value, first[2].inference) == (-1.0, rows[0].uuid)
        assert first[2].contributor == inferences.after(tx, 0, limit=1)[0].user
        assert (second[2].chosen, second[2].rejected) == ("better", "in the post")
        assert feedback.for_inferences(tx, ids[0], ids[1], version="assistant-v1") == [second]
        assert [item.kind for item in feedback.after(tx, first[2].id, 5)] == ["correction"]


def test_keys_are_shown_once_found_by_hash_and_end_when_revoked(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        plain = keys.create(tx, "shop", "chat", "system:setup")
        row = keys.find(tx, plain)
        assert row is not None
        assert (row["name"], row["scope"]) == ("shop", "chat")
        assert plain not in str(tx.all(sa.text("SELECT * FROM api_keys")))  # type: ignore[arg-type]
        assert plain not in str(tx.all(sa.text("SELECT * FROM audit_events")))  # type: ignore[arg-type]
        assert keys.find(tx, plain + "x") is None
        keys.ensure_internal(tx, "ti-secret")
        keys.ensure_internal(tx, "ti-secret")
        assert [row["scope"] for row in keys.listed(tx)] == ["internal", "chat"]
        keys.revoke(tx, row["id"], actor="system:setup")
        assert keys.find(tx, plain) is None
        with pytest.raises(InvalidInput):
            keys.create(tx, "shop", "root", "system:setup")
        accounts.create(tx, "anna", "a long password", "operator", actor="system:setup")
        with pytest.raises(Forbidden):
            keys.create(tx, "shop", "chat", "anna")


def test_routes_name_what_to_load(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        for name, kind, path in (("assistant-base", "base", ""), ("assistant-v1", "adapter", "versions/one")):
            version = ModelVersion(name, name.ljust(64, "0"), kind, "chat", path, NOW)  # type: ignore[arg-type]
            versions.register(tx, version, actor="system:test")
        deployments.install(tx, "assistant", "assistant-base", actor="system:test")
        (route,) = routes.listed(tx)
        assert (route.version, route.kind, route.previous, route.generation) == ("assistant-base", "base", "", 1)
        deployments.request_promotion(tx, "assistant", "assistant-v1", actor="system:test", reason="better")
        deployments.flip(tx, deployments.requested(tx)[0]["id"], actor="system:test")
        (route,) = routes.listed(tx)
        assert (route.version, route.path, route.previous, route.previous_kind, route.generation) == (
            "assistant-v1",
            "versions/one",
            "assistant-base",
            "base",
            2,
        )
        assert routes.locate(tx, "assistant-v1") == ("adapter", "versions/one")
        assert routes.locate(tx, "nobody") is None
