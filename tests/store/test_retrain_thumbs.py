"""Thumbs drawn for training: agreed on, whole, from live traffic, and never on a prompt that judges."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.types import Feedback, Inference, PreferencePair
from retrain.pairs import drawing, thumbs
from retrain.pairs.split import HELD_OUT_SHARE, normalise, place
from retrain.training.thumbs import read_thumbs
from store import feedback, inferences
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SPEC = {"max_train_pairs": 500}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    yield opened
    opened.close()


def said(tx: Tx, n: int, *values: float, kind: Any = "live", answer: str = "On its way.") -> None:
    prompt = f"Where is parcel {n}?"
    messages = [{"role": "user", "content": prompt}]
    inferences.record(tx, [Inference(f"i-{n}", NOW, "assistant", "v1", kind, messages, prompt, answer)])
    for place_, value in enumerate(values):
        feedback.record(tx, Feedback(f"f-{n}-{place_}", NOW, "thumb", inference=f"i-{n}", value=value))


def test_thumbs_become_rows_that_the_trainer_reads(store: Store, tmp_path: Path) -> None:
    with store.write(NOW) as tx:
        for n in range(60):
            said(tx, n, 1.0 if n % 2 else -1.0)
        held_out = [PreferencePair("", [{"role": "user", "content": "where is PARCEL 7"}], "a", "b")]
        rows = thumbs.draw(tx, SPEC, held_out)
        few = thumbs.draw(tx, {"max_train_pairs": 10}, [])
    assert len(few) == 10
    ids = {row["id"] for row in rows}
    assert "i-7" not in ids
    for n in range(60):
        side = place(normalise(f"Where is parcel {n}?"), drawing.SPLIT_SEED) < HELD_OUT_SHARE
        assert (f"i-{n}" in ids) == (not side and n != 7)
    thumbs.write(tmp_path, "thumbs.jsonl", rows)
    read = read_thumbs(tmp_path / "thumbs.jsonl")
    assert [(thumb.id, thumb.desirable) for thumb in read] == [(row["id"], row["desirable"]) for row in rows]
    assert all(thumb.desirable == bool(int(thumb.id[2:]) % 2) for thumb in read)


def test_what_people_disagree_on_and_what_is_no_answer_is_left_out(store: Store) -> None:
    with store.write(NOW) as tx:
        for n in range(100, 180):
            said(tx, n, 1.0 if n % 2 else -1.0)
        before = {row["id"] for row in thumbs.draw(tx, SPEC, [])}
        taken = [n for n in range(400) if place(normalise(f"Where is parcel {n}?"), 0) >= HELD_OUT_SHARE]
        fresh = [n for n in taken if n >= 200][:5]
        said(tx, fresh[0], 1.0, -1.0)
        said(tx, fresh[1], 1.0, 1.0)
        said(tx, fresh[2], 1.0, kind="probe")
        said(tx, fresh[3], 1.0, answer=" ")
        said(tx, fresh[4])
        after = {row["id"] for row in thumbs.draw(tx, SPEC, [])}
    assert after - before == {f"i-{fresh[1]}"}


def test_too_few_of_a_kind_says_so(store: Store) -> None:
    with store.write(NOW) as tx:
        for n in range(40):
            said(tx, n, 1.0)
        with pytest.raises(InvalidInput, match="0 disliked; 8 of each are needed"):
            thumbs.draw(tx, SPEC, [])
