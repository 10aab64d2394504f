"""What buttons do: each write is by the account of the session, told in words, and made once however many click."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from dashboard import actions
from dashboard import console as consoles
from dashboard.console import Console
from dashboard.installation import Installation
from store import accounts, alerts, audit, commands, decisions
from store import monitors as monitor_rows
from store.tables import commands as command_table
from store.tables import runs as run_table
from tests.console_world import World
from tests.pages.conftest import Open

ROUNDS = 25


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What an act left to tell, outside a page."""
    state: dict[str, object] = {}
    monkeypatch.setattr(actions.st, "session_state", state)
    return state


def visit(world: World, name: str) -> Console:
    """A visit of `name`."""
    installation = Installation(world.settings, world.store, lambda: world.now)
    return Console(installation, {"name": name, "role": "admin"}, world.now, {}, world.sign_in(name))


def test_clicks_of_two_people_at_once_make_one_run(filled: World, told: dict[str, object]) -> None:
    people = [visit(filled, "ann"), visit(filled, "bea")]
    for number in range(ROUNDS):
        with filled.store.write(filled.now) as tx:
            for row in decisions.waiting(tx):
                if row["kind"] == "retrain":
                    decisions.reject(tx, row["uuid"], actor="ann", reason="Another round.")
            tx.execute(run_table.update().where(run_table.c.state == "queued").values(state="cancelled"))
            uuid = decisions.propose(
                tx,
                kind="retrain",
                subject="assistant",
                proposer="system:policy",
                reason="Round.",
                body={"spec": {"round": number}},
                expires_at=filled.now + timedelta(days=1),
            )
            row = decisions.get(tx, uuid)
        done: list[bool] = []
        gate = threading.Barrier(4)

        def click(person: Console, uuid: str = uuid, digest: str = row["digest"]) -> None:
            gate.wait()  # noqa: B023 - the threads end inside the round
            done.append(actions.approve(person, uuid, digest, "", "Approved."))  # noqa: B023

        threads = [threading.Thread(target=click, args=(person,)) for person in people * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(done) == [False, False, False, True]
        with filled.store.read() as tx:
            assert tx.scalar(sa.select(sa.func.count()).where(run_table.c.decision_id == row["id"])) == 1
    with filled.store.read() as tx:
        assert audit.verify(tx).bad is None


def test_what_must_not_be_approved_is_not(filled: World, told: dict[str, dict[str, object]]) -> None:
    ann = visit(filled, "ann")
    with filled.store.read() as tx:
        digest = decisions.get(tx, filled.retrain)["digest"]
    assert not actions.approve(ann, filled.retrain, "0" * 64, "", "")
    assert "not what you were shown" in str(told["_told"]["words"])
    later = replace(ann, installation=replace(ann.installation, clock=lambda: filled.now + timedelta(days=4)))
    assert not actions.approve(later, filled.retrain, digest, "", "")
    assert "signed out" in str(told["_told"]["words"])
    late = replace(ann.installation, clock=lambda: filled.now + timedelta(days=4))
    fresh = accounts.sign_in(filled.store, "ann", "a long enough password", now=late.clock(), hours=1)
    assert not actions.approve(replace(ann, installation=late, token=fresh), filled.retrain, digest, "", "")
    assert "expired" in str(told["_told"]["words"])
    with filled.store.write(filled.now) as tx:
        accounts.set_role(tx, "ann", "operator", actor="root")
        own = decisions.propose(
            tx,
            kind="rollback",
            subject="assistant",
            proposer="bea",
            reason="Worse.",
            body={"from": "assistant-v1", "to": "assistant-base"},
            expires_at=filled.now + timedelta(days=1),
        )
        own_digest = decisions.get(tx, own)["digest"]
    assert not actions.approve(visit(filled, "ann"), filled.retrain, digest, "", "")
    assert "operator may not approve" in str(told["_told"]["words"])
    assert not actions.approve(visit(filled, "bea"), own, own_digest, "", "")
    assert "own proposal" in str(told["_told"]["words"])
    with filled.store.read() as tx:
        assert decisions.get(tx, filled.retrain)["state"] == "proposed"


def test_an_ended_session_changes_nothing(filled: World, told: dict[str, dict[str, object]]) -> None:
    otto = visit(filled, "otto")
    with filled.store.write(filled.now) as tx:
        accounts.end_session(tx, otto.token)
    assert not actions.acknowledge(otto, filled.alert)
    assert "signed out" in str(told["_told"]["words"])
    with filled.store.read() as tx:
        assert alerts.get(tx, filled.alert)["acknowledged_at"] is None


def test_a_page_left_open_acts_as_the_account_of_its_session_only(filled: World, told: dict[str, object]) -> None:
    forged = replace(visit(filled, "vera"), account={"name": "ann", "role": "admin"})
    assert not actions.acknowledge(forged, filled.alert)


def test_a_monitor_is_paused_and_asked_for_a_look_from_its_page(filled: World, open_page: Open) -> None:
    with filled.store.read() as tx:
        before = tx.database_now()
    page = open_page(filled, "monitors", name="otto", monitor="errors")
    page.button(key="run-now").click().run()
    assert not page.exception
    page.button(key="pause").click().run()
    assert not page.exception
    assert page.button(key="run-now").disabled
    with filled.store.read() as tx:
        assert not monitor_rows.get(tx, "errors")["enabled"]
        asked = tx.all(sa.select(command_table).where(command_table.c.asked_at > before))
    assert [(row["kind"], row["args"], row["actor"]) for row in asked] == [
        ("run_monitor", {"monitor": "errors"}, "otto")
    ]
    assert commands.KINDS["run_monitor"][0] == asked[0]["owner"]


def test_a_viewer_has_no_button_that_works(filled: World, open_page: Open) -> None:
    for path, query in (
        ("alerts", {"alert": filled.alert}),
        ("runs", {"run": filled.run}),
        ("runs", {"decision": filled.retrain}),
        ("models", {}),
        ("monitors", {"monitor": "errors"}),
    ):
        page = open_page(filled, path, name="vera", **query)
        assert not page.exception
        working = [button.label for button in page.button if not button.disabled and button.key != "sign-out"]
        assert working == []
    consoles.forget()


def test_the_chain_is_checked_from_its_page(filled: World, open_page: Open) -> None:
    page = open_page(filled, "audit")
    page.button(key="verify").click().run()
    assert not page.exception
    assert any("every event follows" in str(text.value) for text in page.text)
