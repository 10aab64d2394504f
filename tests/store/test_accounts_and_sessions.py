"""Accounts: sign-in, lock-out, sessions that end, and roles that are read at every write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher, Type, extract_parameters

from core.errors import Conflict, Forbidden, InvalidInput, NotFound
from core.roles import Action
from store import accounts, audit
from store.tables import sessions
from store.unit_of_work import Store
from tests.stores import make_store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'trimtab.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = make_store(url, now=NOW)
    with opened.write(NOW) as tx:
        accounts.create(tx, "root", PASSWORD, "admin", actor="system:setup")
        accounts.create(tx, "Ann", PASSWORD, "approver", actor="root")
    yield opened
    opened.close()


def attempt(store: Store, name: str, password: str, now: datetime = NOW) -> str:
    return accounts.sign_in(store, name, password, now=now, hours=12)


def test_a_sign_in_opens_a_session_that_ends_by_time_and_by_hand(store: Store) -> None:
    token = attempt(store, " ANN ", PASSWORD)
    with store.read() as tx:
        row = accounts.by_token(tx, token, now=NOW + timedelta(hours=11, minutes=59))
        assert row is not None
        assert (row["name"], row["role"]) == ("ann", "approver")
        assert "password_hash" not in row
        assert accounts.by_token(tx, token, now=NOW + timedelta(hours=12)) is None
        assert accounts.by_token(tx, token + "x", now=NOW) is None
        assert token not in str(tx.all(sa.select(sessions)))
    with store.write(NOW) as tx:
        assert accounts.end_session(tx, token)
        assert not accounts.end_session(tx, token)
        assert accounts.by_token(tx, token, now=NOW) is None


def test_passwords_are_hashed_at_no_less_than_the_recommended_cost(
    production_hasher: Callable[[], PasswordHasher],
) -> None:
    # RFC 9106, section 4, second recommended option: argon2id, three passes, four lanes, 64 MiB.
    kept = production_hasher().hash(PASSWORD)
    found = extract_parameters(kept)
    assert found.type is Type.ID
    assert (found.time_cost >= 3, found.parallelism >= 4, found.memory_cost >= 64 * 1024) == (True, True, True)
    assert (found.salt_len >= 16, found.hash_len >= 32) == (True, True)


def test_wrong_passwords_lock_the_account_for_a_while_and_are_counted_though_the_sign_in_fails(
    store: Store,
) -> None:
    for _ in range(accounts.LOCK_AFTER):
        with pytest.raises(accounts.SignInRefused, match="wrong"):
            attempt(store, "ann", "not the password")
    with pytest.raises(accounts.SignInRefused, match="Too many"):
        attempt(store, "ann", PASSWORD)
    assert attempt(store, "root", PASSWORD)
    assert attempt(store, "ann", PASSWORD, NOW + timedelta(minutes=16))
    with store.read() as tx:
        kinds = [event.kind for event in audit.events(tx)]
        assert audit.verify(tx).bad is None
        row = accounts.by_name(tx, "ann")
        assert row is not None
        assert row["failures"] == 0
    assert kinds.count("account.locked") == 1


def test_simultaneous_guesses_cannot_outrun_the_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    monkeypatch.setattr(accounts, "_verify", lambda hashed, password: bool(looked.append(password)))

    def guess(number: int) -> None:
        with pytest.raises(accounts.SignInRefused):
            attempt(store, "ann", f"guess number {number}")

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(looked) <= accounts.LOCK_AFTER


def test_an_unknown_name_is_refused_in_the_same_words(store: Store) -> None:
    with pytest.raises(accounts.SignInRefused) as known:
        attempt(store, "ann", "not the password")
    with pytest.raises(accounts.SignInRefused) as unknown:
        attempt(store, "nobody", "not the password")
    assert str(known.value) == str(unknown.value)


def test_a_role_counts_from_the_next_write_on(store: Store) -> None:
    with store.write(NOW) as tx:
        accounts.require(tx, "ann", Action.APPROVE)
        accounts.set_role(tx, "ann", "viewer", actor="root")
        with pytest.raises(Forbidden, match="viewer"):
            accounts.require(tx, "ann", Action.APPROVE)
        with pytest.raises(Forbidden, match="no active account"):
            accounts.require(tx, "system:policy", Action.VIEW)


def test_deactivating_ends_the_sessions(store: Store) -> None:
    token = attempt(store, "ann", PASSWORD)
    with store.write(NOW) as tx:
        accounts.deactivate(tx, "ann", actor="root")
        assert accounts.by_token(tx, token, now=NOW) is None
        with pytest.raises(Forbidden):
            accounts.require(tx, "ann", Action.VIEW)
    with pytest.raises(accounts.SignInRefused):
        attempt(store, "ann", PASSWORD)


def test_a_new_password_ends_the_sessions(store: Store) -> None:
    token = attempt(store, "ann", PASSWORD)
    with store.write(NOW) as tx:
        accounts.set_password(tx, "ann", "another long password", actor="ann")
        assert accounts.by_token(tx, token, now=NOW) is None
        with pytest.raises(Forbidden):
            accounts.set_password(tx, "root", "another long password", actor="ann")
    with pytest.raises(accounts.SignInRefused):
        attempt(store, "ann", PASSWORD)
    assert attempt(store, "ann", "another long password")


def test_the_last_admin_stays(store: Store) -> None:
    with store.write(NOW) as tx:
        with pytest.raises(Conflict, match="last active admin"):
            accounts.deactivate(tx, "root", actor="root")
        with pytest.raises(Conflict, match="last active admin"):
            accounts.set_role(tx, "root", "viewer", actor="root")
        accounts.set_role(tx, "ann", "admin", actor="root")
        accounts.set_role(tx, "root", "viewer", actor="ann")


def test_only_admins_and_processes_manage_accounts(store: Store) -> None:
    with store.write(NOW) as tx:
        with pytest.raises(Forbidden):
            accounts.create(tx, "bob", PASSWORD, "admin", actor="ann")
        with pytest.raises(Forbidden):
            accounts.set_role(tx, "ann", "admin", actor="ann")
        with pytest.raises(Conflict):
            accounts.create(tx, "ANN", PASSWORD, "viewer", actor="root")
        with pytest.raises(NotFound):
            accounts.set_role(tx, "bob", "viewer", actor="root")


@pytest.mark.parametrize(
    ("name", "password", "role"),
    [
        ("", PASSWORD, "viewer"),
        ("system", PASSWORD, "viewer"),
        ("system:policy", PASSWORD, "viewer"),
        ("<b>ann</b>", PASSWORD, "viewer"),
        ("![x](http://e)", PASSWORD, "viewer"),
        ("bob", "short", "viewer"),
        ("bob", "x" * 257, "viewer"),
        ("bob", PASSWORD, "owner"),
    ],
)
def test_bad_input_gets_a_sentence(store: Store, name: str, password: str, role: str) -> None:
    with store.write(NOW) as tx, pytest.raises(InvalidInput) as refused:
        accounts.create(tx, name, password, role, actor="root")
    assert refused.value.remedy
