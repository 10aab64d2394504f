"""What PostgreSQL commits out of key order is read all the same, once and in key order, by who reads on from a key."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.settings import Settings
from core.thinning import Thinning
from core.types import Feedback, Inference, ModelVersion
from retrain.pairs import building
from retrain.trial import Trials
from store import deployments, feedback, inferences, pairs, settled, streams, tables, trials, versions
from store.unit_of_work import Store, Tx
from tests.conftest import PostgresCluster
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
pytestmark = pytest.mark.postgres


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    opened = make_store(postgres_url, now=NOW)
    with opened.write(NOW) as tx:
        for number, name in enumerate(("assistant-base", "assistant-v1")):
            versions.register(tx, ModelVersion(name, str(number) * 64, "base", "chat", "", NOW), actor="x")
        deployments.install(tx, "assistant", "assistant-base", actor="system:setup")
    yield opened
    opened.close()


def capture(tx: Tx, *names: str, version: str = "assistant-base") -> list[int]:
    rows = [
        Inference(name, NOW, "assistant", version, "live", [{"role": "user", "content": "Hi"}], "Hi", "Hello.")
        for name in names
    ]
    return inferences.record(tx, rows)


def like(tx: Tx, *names: str) -> None:
    for name in names:
        feedback.record(tx, Feedback(f"f-{name}", NOW, "thumb", name, value=-1.0))


@contextmanager
def overtaken(store: Store, write: Any, late: Sequence[str], early: Sequence[str]) -> Iterator[None]:
    """`late` takes the smaller keys and is committed after `early`, at the end of the block."""
    with store.write(NOW) as slow:
        write(slow, *late)
        with store.write(NOW) as fast:
            write(fast, *early)
        yield


@pytest.mark.parametrize("thinning", [Thinning(), Thinning(2, 5)])
def test_exchanges_are_read_once_and_in_key_order(store: Store, thinning: Thinning) -> None:
    read: list[int] = []
    at = 0

    def read_on() -> None:
        nonlocal at
        with store.read() as tx:
            rows, at = streams.openings(tx, at, deployment="assistant", limit=100, thinning=thinning)
        read.extend(row.id for row in rows)

    with store.write(NOW) as tx:
        capture(tx, "a", "b")
    read_on()
    assert len(read) == len([key for key in (1, 2) if thinning.holds(key)])
    with overtaken(store, capture, ["c", "d"], ["e", "f", "g"]):
        read_on()
        assert max(read, default=0) <= 2, "what is read before those with smaller keys would be all that is ever read"
    read_on()
    with store.read() as tx:
        every = [row.id for row in inferences.after(tx, 0, limit=100)]
    assert len(every) == 7 and read == [key for key in every if thinning.holds(key)]


@pytest.mark.parametrize("one_in", [1, 2])
def test_judgements_are_read_once_and_in_key_order(store: Store, one_in: int) -> None:
    read: list[int] = []
    at = 0
    rule = Thinning(one_in, 3)

    def read_on() -> None:
        nonlocal at
        with store.read() as tx:
            if one_in == 1:
                rows = streams.judgements(tx, at, deployment="assistant", limit=100)
                at = rows[-1].key if rows else at
            else:
                rows, at = streams.judgements_drawn(tx, at, thinning=rule, deployment="assistant", limit=100)
        read.extend(row.key for row in rows)

    names = [f"i-{n}" for n in range(8)]
    with store.write(NOW) as tx:
        capture(tx, *names)
    with overtaken(store, like, names[:3], names[3:]):
        read_on()
        assert read == []
    read_on()
    with store.read() as tx:
        every = [item.id for item in feedback.after(tx, 0, 100)]
    assert len(every) == 8 and read == [key for key in every if rule.holds(key)]


def test_a_choice_that_is_committed_late_becomes_a_pair_however_many_came_before(store: Store) -> None:
    names = [f"i-{n}" for n in range(302)]
    with store.write(NOW) as tx:
        capture(tx, *names)

    def choose(tx: Tx, *names: str) -> None:
        for name in names:
            feedback.record(tx, Feedback(f"f-{name}", NOW, "choice", name, chosen=f"Yes, {name}.", rejected="No."))

    def collect() -> int:
        with store.write(NOW) as tx:
            return building.collect(tx)

    with overtaken(store, choose, names[:1], names[1:]):
        assert collect() == 0
    while collect():
        pass
    with store.read() as tx:
        assert len(pairs.collected(tx)) == 302


def test_a_canary_counts_what_was_committed_late_without_starting_anew(store: Store, tmp_path: Path) -> None:
    with store.write(NOW) as tx:
        deployments.request_promotion(tx, "assistant", "assistant-v1", actor="ann", reason="Better.", share=20)
        (row,) = deployments.requested(tx)
        trials.begin(tx, row["id"], "canary", actor="x")
    worker = Trials(store, Settings(tmp_path, tmp_path), clock=lambda: NOW, tell=lambda line: None)

    def answer(tx: Tx, *names: str) -> list[int]:
        return capture(tx, *names, version="assistant-v1")

    with overtaken(store, answer, ["a", "b"], ["c"]):
        worker.step()
    worker.step()
    with store.read() as tx:
        assert trials.running(tx)[0]["evidence"]["answered"] == 3


def test_a_canary_waits_for_no_import(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "CAPTURE_SECONDS", 0.2)
    with store.write(NOW) as tx:
        inferences.record(tx, [Inference("old", NOW, "assistant", "assistant-base", "import", [], "Hi", "Hello.")])
        with store.write(NOW) as other:
            capture(other, "new")
        time.sleep(0.3)
        with store.read() as reader:
            seen = trials.answers(reader, 0, deployment="assistant", kind="live", limit=10)
            assert [row.uuid for row in seen] == ["new"]
            assert streams.openings(reader, 0, deployment="assistant", limit=10) == ([], 0), "monitors read both"


def test_a_writer_that_hangs_is_not_waited_for_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with overtaken(store, capture, ["a"], ["b"]), store.read() as tx:
        assert settled.newest(tx, tables.inferences) == 0
        monkeypatch.setattr(settled, "PATIENCE_SECONDS", 0)
        assert settled.newest(tx, tables.inferences) == 2


def test_a_reader_of_another_account_neither_misses_what_is_late_nor_waits_for_ever(
    store: Store, postgres_cluster: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary account sees who holds locks, but not since when the sessions of other accounts are at work."""
    name = f"plain_{store.engine.url.database}"
    postgres_cluster.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'plain'")
    with store.write(NOW) as tx:
        tx.execute(sa.text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"))
    url = store.engine.url.set(username=name, password="plain")
    plain = Store.open(url.render_as_string(hide_password=False))
    try:
        with overtaken(store, capture, ["a"], ["b"]), plain.read() as tx:
            assert settled.newest(tx, tables.inferences) == 0
            monkeypatch.setattr(settled, "PATIENCE_SECONDS", 0)
            assert settled.newest(tx, tables.inferences) == 2
    finally:
        plain.close()
        with store.write(NOW) as tx:
            tx.execute(sa.text(f"DROP OWNED BY {name}"))
        postgres_cluster.execute(f"DROP ROLE {name}")


def test_who_writes_reads_what_it_wrote_and_one_table_holds_up_no_other(store: Store) -> None:
    with store.write(NOW) as tx:
        keys = capture(tx, "a")
        assert settled.newest(tx, tables.inferences) == keys[-1]
    with store.write(NOW) as tx:
        like(tx, "a")
        with store.write(NOW) as other:
            more = capture(other, "b")
        with store.read() as reader:
            assert settled.newest(reader, tables.inferences) == more[-1]


def test_what_was_said_in_a_part_that_is_undone_is_said_again(store: Store) -> None:
    with store.write(NOW) as tx:
        with suppress(RuntimeError), tx.attempt():
            capture(tx, "a")
            raise RuntimeError
        late = capture(tx, "b")
        with store.write(NOW) as other:
            capture(other, "c")
        with store.read() as reader:
            assert settled.newest(reader, tables.inferences) < late[0]
