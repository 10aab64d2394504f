"""What people do with captured exchanges: queue, prefer, correct, exclude; each with its role, event and effect."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from core.errors import Forbidden, InvalidInput, NotFound
from core.types import Feedback, Inference
from store import accounts, audit, feedback, inferences, labelling, streams
from store.queries import traffic
from store.tables import audit_events
from store.tables import feedback as feedback_table
from store.unit_of_work import Store
from tests.store.conftest import NOW

PASSWORD = "a long enough password"


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture
def store(empty_store: Store) -> Store:
    """Six exchanges, the last two of which answer the same messages, and three accounts."""
    said = [("q1", "a1"), ("q2", "a2"), ("q3", "a3"), ("q4", "a4"), ("same", "one"), ("same", "two")]
    with empty_store.write(NOW) as tx:
        for name, role in (("otto", "operator"), ("vera", "viewer"), ("ann", "approver")):
            accounts.create(tx, name, PASSWORD, role, actor="system:setup")
        inferences.record(
            tx,
            [
                Inference(
                    uuid(i),
                    NOW + timedelta(minutes=i),
                    "assistant",
                    "v1" if i % 2 else "v2",
                    "live",
                    [{"role": "user", "content": prompt}],
                    prompt,
                    response,
                    labels={"plan": "free" if i < 3 else "paid"},
                )
                for i, (prompt, response) in enumerate(said, 1)
            ],
        )
    return empty_store


def kinds(store: Store) -> list[str]:
    with store.read() as tx:
        assert audit.verify(tx).bad is None
        return [row["kind"] for row in tx.all(sa.select(audit_events).order_by(audit_events.c.id))]


def test_the_queue_keeps_each_exchange_once_in_order_and_says_so_in_the_chain(store: Store) -> None:
    with store.write(NOW) as tx:
        assert labelling.mark(tx, [uuid(3), uuid(1)], "label", actor="otto") == 2
        assert labelling.mark(tx, [uuid(1), uuid(1), uuid(2)], "label", actor="otto") == 1
        assert [row["uuid"] for row in traffic.queued(tx)] == [uuid(3), uuid(1), uuid(2)]
        assert labelling.unmark(tx, uuid(1), "label", actor="otto")
        assert not labelling.unmark(tx, uuid(1), "label", actor="otto")
        assert traffic.queue_size(tx) == 2
    assert kinds(store)[-3:] == ["exchanges.queued", "exchanges.queued", "exchange.unqueued"]


def test_a_preference_takes_the_exchange_off_the_queue_and_becomes_feedback(store: Store) -> None:
    with store.write(NOW) as tx:
        labelling.mark(tx, [uuid(5), uuid(1)], "label", actor="otto")
        row = traffic.one(tx, uuid(5))
        assert row is not None
        (other,) = traffic.other_answers(tx, row)
        assert other["response"] == "two"
        labelling.prefer(tx, uuid(5), chosen="two", rejected="one", actor="otto")
        labelling.correct(tx, uuid(1), better="a better one", actor="otto")
        assert traffic.queue_size(tx) == 0
        told = {item.inference: item for item in feedback.after(tx, 0, 10)}
        assert feedback.preferred(tx, [row["id"]]) == frozenset({row["id"]})
    assert (told[uuid(5)].kind, told[uuid(5)].chosen, told[uuid(5)].rejected) == ("choice", "two", "one")
    assert (told[uuid(1)].kind, told[uuid(1)].chosen, told[uuid(1)].rejected) == ("correction", "a better one", "a1")
    assert {item.source for item in told.values()} == {feedback.CONSOLE}
    assert "otto" not in {item.contributor for item in told.values()}, "a person is kept as a keyed hash"
    assert kinds(store)[-2:] == ["preference.given", "preference.given"]
    with store.read() as tx:
        bodies = repr([dict(row) for row in tx.all(sa.select(audit_events.c.body))])
    assert "a better one" not in bodies


def test_a_labellers_better_answer_is_no_customers_complaint(store: Store) -> None:
    with store.write(NOW) as tx:
        labelling.correct(tx, uuid(1), better="a better one", actor="otto")
        assert streams.judgements(tx, 0, deployment="assistant", limit=10) == []
        assert feedback.record(tx, Feedback(uuid(91), NOW, "thumb", uuid(1), value=1.0))
        assert feedback.record(tx, Feedback(uuid(92), NOW, "correction", uuid(2), chosen="of a customer"))
        told = streams.judgements(tx, 0, deployment="assistant", limit=10)
        assert [(row.inference, row.negative) for row in told] == [(1, 0.0), (2, 1.0)]
        assert streams.judgements_before(tx, 9, deployment="assistant", wanted=10) == told
        assert streams.judgements_of(tx, [1, 2]) == {row.inference: row for row in told}


@pytest.mark.parametrize(
    ("better", "words"), [("", "empty"), ("  ", "empty"), ("a1", "the same"), (" a1\n", "the same")]
)
def test_no_preference_without_a_difference(store: Store, better: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words), store.write(NOW) as tx:
        labelling.correct(tx, uuid(1), better=better, actor="otto")
    with store.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(feedback_table)) == 0


def test_who_may_not_and_what_is_not_there(store: Store) -> None:
    with store.write(NOW) as tx:
        for act in (
            lambda: labelling.mark(tx, [uuid(1)], "label", actor="vera"),
            lambda: labelling.mark(tx, [uuid(1)], "exclude", actor="vera", reason="spam"),
            lambda: labelling.unmark(tx, uuid(1), "label", actor="vera"),
            lambda: labelling.correct(tx, uuid(1), better="x", actor="vera"),
        ):
            with pytest.raises(Forbidden):
                act()
        with pytest.raises(NotFound):
            labelling.mark(tx, [uuid(1), uuid(77)], "label", actor="otto")
        with pytest.raises(InvalidInput, match="reason"):
            labelling.mark(tx, [uuid(1)], "exclude", actor="otto", reason=" ")
        with pytest.raises(InvalidInput):
            labelling.mark(tx, [], "label", actor="otto")
        with pytest.raises(InvalidInput):
            labelling.mark(tx, [uuid(1)] * (labelling.MOST + 1), "label", actor="otto")


def test_marks_of_an_exchange_and_which_are_left_out(store: Store) -> None:
    with store.write(NOW) as tx:
        labelling.mark(tx, [uuid(2)], "exclude", actor="otto", reason="A load test.")
        labelling.mark(tx, [uuid(2)], "label", actor="otto")
        assert labelling.excluded(tx, [1, 2, 3]) == frozenset({2})
        assert [(row["kind"], row["reason"]) for row in labelling.marks_of(tx, uuid(2))] == [
            ("exclude", "A load test."),
            ("label", ""),
        ]
        assert labelling.unmark(tx, uuid(2), "exclude", actor="otto")
        assert labelling.excluded(tx, [1, 2, 3]) == frozenset()
