"""Labels of detectors on each database: one an answer and detector, by people who may, counted when drawn."""

from __future__ import annotations

import uuid as uuids

import pytest

from core.errors import Forbidden, NotFound
from core.types import Inference
from store import accounts, audit, inferences, labels
from store.unit_of_work import Store
from tests.store.conftest import NOW


def test_labels_count_once_and_only_when_drawn(empty_store: Store) -> None:
    rows = [
        Inference(str(uuids.UUID(int=n + 1)), NOW, "assistant", "v1", "probe", [], "asked", "answered")
        for n in range(6)
    ]
    with empty_store.write(NOW) as tx:
        accounts.create(tx, "otto", "a long enough password", "operator", actor="system:test")
        accounts.create(tx, "vera", "a long enough password", "viewer", actor="system:test")
        inferences.record(tx, rows)
        told = [(True, True), (True, False), (False, True), (False, False), (False, False)]
        for row, (said, truth) in zip(rows, told, strict=False):
            labels.put(tx, inference=row.uuid, detector="refusal", told=said, truth=truth, drawn=True, actor="otto")
        picked = {"inference": rows[5].uuid, "detector": "refusal", "told": True, "truth": False}
        labels.put(tx, **picked, drawn=False, actor="otto")
        assert labels.counts(tx, "refusal") == labels.Counts(1, 2, 2, 3)
        labels.put(tx, **picked, drawn=True, actor="otto")
        assert labels.counts(tx, "refusal") == labels.Counts(1, 2, 2, 4)
        assert labels.counts(tx, "canary") == labels.Counts(0, 0, 0, 0)
        uuid_list = [row.uuid for row in rows]
        assert labels.overruled(tx, uuid_list) == {rows[1].uuid, rows[2].uuid, rows[5].uuid}
        assert set(labels.of(tx, uuid_list[:2])) == set(uuid_list[:2])
    with empty_store.write(NOW) as tx, pytest.raises(Forbidden):
        labels.put(tx, **picked, drawn=True, actor="vera")
    with empty_store.write(NOW) as tx, pytest.raises(NotFound):
        labels.put(tx, **{**picked, "inference": "nothing"}, drawn=True, actor="otto")
    with empty_store.read() as tx:
        assert audit.verify(tx).bad is None
