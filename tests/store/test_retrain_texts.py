"""Questions drawn to adapt to: recent, each once, no answer, none on a prompt that judges; chosen at the approval."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.types import Inference, PreferencePair
from retrain.pairs import texts
from retrain.pairs.split import HELD_OUT_SHARE, normalise, place
from retrain.training.texts import read_texts
from store import decisions, inferences, runs, tables
from store.unit_of_work import Store, Tx
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SPEC = {"deployment": "assistant", "adapt_steps": 8, "pairs_per_step": 4}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    yield opened
    opened.close()


def ask(tx: Tx, numbers: range, *, kind: Any = "live") -> None:
    rows = []
    for n in numbers:
        prompt = f"Where is parcel {n}?"
        messages = [{"role": "user", "content": prompt}]
        rows.append(Inference(f"{kind}-{n}", NOW, "assistant", "v1", kind, messages, prompt, "On its way."))
    inferences.record(tx, rows)


def test_recent_questions_become_texts_without_answers_and_without_what_judges(store: Store, tmp_path: Path) -> None:
    with store.write(NOW) as tx:
        ask(tx, range(100))
        ask(tx, range(100, 120), kind="probe")
        held_out = [PreferencePair("", [{"role": "user", "content": "where is PARCEL 99"}], "a", "b")]
        rows = texts.draw(tx, SPEC, held_out)
        more = texts.draw(tx, SPEC | {"adapt_steps": 500}, held_out)
    assert len(rows) == 32 and rows == more[:32]
    wanted = [n for n in reversed(range(99)) if place(normalise(f"Where is parcel {n}?"), 0) >= HELD_OUT_SHARE]
    assert [row["id"] for row in more] == [f"live-{n}" for n in wanted]
    texts.write(tmp_path, "texts.jsonl", rows)
    read = read_texts(tmp_path / "texts.jsonl")
    assert [text.id for text in read] == [row["id"] for row in rows]
    assert "On its way" not in (tmp_path / "texts.jsonl").read_text()


def test_too_few_questions_say_so(store: Store) -> None:
    with store.write(NOW) as tx:
        ask(tx, range(4))
        with pytest.raises(InvalidInput, match="16 are needed"):
            texts.draw(tx, SPEC, [])


@pytest.mark.parametrize("adapt", [0, 12])
def test_an_approval_may_put_adaptation_first(store: Store, adapt: int) -> None:
    with store.write(NOW) as tx:
        tx.insert(tables.accounts, name="ann", role="approver", password_hash="none", active=True, created_at=NOW)
        body = {"spec": {"trainer": "dpo", "steps": 4}}
        uuid = decisions.propose(
            tx,
            kind="retrain",
            subject="assistant",
            proposer="system:policy",
            reason="Drift.",
            body=body,
            expires_at=NOW + timedelta(hours=1),
        )
        run = decisions.approve(tx, uuid, actor="ann", digest=decisions.get(tx, uuid)["digest"], adapt=adapt)
        spec = runs.get(tx, run)["spec"]
    assert spec == body["spec"] | ({"adapt_steps": 12} if adapt else {})
