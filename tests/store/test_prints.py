"""Prints of a version by place: the first is kept, another place rounds otherwise, and nothing else passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.errors import InvalidInput, NotFound
from core.ports import Fingerprint
from core.types import ModelVersion
from store import audit, prints, versions
from store.unit_of_work import Store

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
FILES = "1" * 64
HERE = Fingerprint("d-here", ((5, 6), (7, 8)), ((-0.5, -1.0), (-0.1, -2.0)), "torch 1, this processor", FILES)
THERE = replace(HERE, digest="d-there", logprobs=((-0.52, -1.01), (-0.1, -1.97)), place="torch 2, this processor")


@pytest.fixture
def named(empty_store: Store) -> Store:
    register(empty_store)
    return empty_store


def register(store: Store, fingerprint: str = "") -> None:
    with store.write(NOW) as tx:
        version = ModelVersion("assistant-v1", FILES, "adapter", "chat", "", NOW, fingerprint=fingerprint)
        versions.register(tx, version, actor="x")


def accept(store: Store, found: Fingerprint) -> bool:
    with store.write(NOW) as tx:
        told = prints.accept(tx, "assistant-v1", found, actor="system:release")
        assert audit.verify(tx).bad is None
        return told


def places(store: Store) -> list[str]:
    with store.read() as tx:
        version = versions.get(tx, "assistant-v1")
        assert version.id is not None
        return [row["place"] for row in prints.listed(tx, version.id)]


def test_the_first_print_is_kept_and_no_other_passes_in_its_place(named: Store) -> None:
    assert accept(named, HERE) and accept(named, HERE)
    assert not accept(named, replace(HERE, digest="another"))
    assert places(named) == [HERE.place]
    with named.read() as tx:
        version = versions.get(tx, "assistant-v1")
        assert version.fingerprint == "d-here"
        assert version.id is not None
        assert prints.knows(tx, version.id, "d-here")
        assert not prints.knows(tx, version.id, "another") and not prints.knows(tx, version.id, "")


def test_in_another_place_its_own_files_and_a_like_answer_make_a_print_of_its_own(named: Store) -> None:
    assert accept(named, HERE) and accept(named, THERE)
    assert places(named) == [HERE.place, THERE.place]
    assert accept(named, HERE) and accept(named, THERE), "back again, and there once more"
    assert not accept(named, replace(THERE, digest="another")), "in each place only what was seen there"
    with named.read() as tx:
        assert versions.get(tx, "assistant-v1").fingerprint == "d-here"


@pytest.mark.parametrize(
    "odd",
    [
        replace(THERE, files="2" * 64),
        replace(THERE, files=""),
        replace(THERE, place=""),
        replace(THERE, logprobs=((-0.5, -1.0), (-3.1, -5.0))),
        replace(THERE, tokens=((1, 2), (3, 4))),
    ],
    ids=["other files", "files not told", "place not told", "other numbers", "other words"],
)
def test_in_another_place_nothing_else_passes(named: Store, odd: Fingerprint) -> None:
    assert accept(named, HERE) and not accept(named, odd)
    assert places(named) == [HERE.place]


def test_the_same_digest_is_the_same_version_wherever_it_was_taken(named: Store) -> None:
    assert accept(named, HERE) and accept(named, replace(HERE, place="torch 3", files=""))
    assert not accept(named, replace(THERE, place="torch 3")), "from then on that place has a print"


def test_a_version_registered_before_places_were_kept_goes_on_being_proved(empty_store: Store) -> None:
    register(empty_store, fingerprint="d-here")
    assert not accept(empty_store, replace(HERE, digest="another", place="")), "nothing is known but the digest"
    assert not accept(empty_store, replace(THERE, files="2" * 64))
    assert accept(empty_store, HERE)
    assert places(empty_store) == [HERE.place]
    assert not accept(empty_store, replace(HERE, digest="another"))


def test_an_old_version_is_known_by_its_files_where_the_machine_has_changed_since(empty_store: Store) -> None:
    register(empty_store, fingerprint="d-of-then")
    assert accept(empty_store, HERE) and places(empty_store) == [HERE.place]


def test_a_print_is_taken_anew_for_a_reason_and_the_chain_keeps_the_old_one(named: Store) -> None:
    assert accept(named, HERE) and not accept(named, replace(HERE, digest="another"))
    with named.write(NOW) as tx, pytest.raises(InvalidInput):
        prints.forget(tx, "assistant-v1", actor="ann", reason=" ")
    with named.write(NOW) as tx, pytest.raises(NotFound):
        prints.forget(tx, "assistant-v9", actor="ann", reason="New GPU.")
    assert not accept(named, replace(HERE, digest="another"))
    with named.write(NOW) as tx:
        prints.forget(tx, "assistant-v1", actor="ann", reason="New GPU.")
        told = [event.body for event in audit.events(tx) if event.kind == "version.fingerprint_forgotten"]
        assert told == [{"fingerprint": "d-here", "places": [HERE.place], "reason": "New GPU."}]
    assert accept(named, replace(HERE, digest="another")) and not accept(named, HERE)
