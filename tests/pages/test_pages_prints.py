"""A version's fingerprints on its page, and having them taken anew: for approvers, with a reason, on record."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import actions
from dashboard.console import Console
from dashboard.installation import Installation
from store import audit, prints, versions
from tests.console_world import World
from tests.pages.conftest import Open


def kept(world: World, name: str) -> tuple[str, list[str]]:
    with world.store.read() as tx:
        version = versions.get(tx, name)
        assert version.id is not None
        return version.fingerprint, [row["place"] for row in prints.listed(tx, version.id)]


def table(page: AppTest) -> list[list[str]]:
    shown: list[list[str]] = next(
        found.value.to_numpy().tolist() for found in page.dataframe if "Taken on" in found.value.columns
    )
    return shown


def test_the_page_says_where_each_was_taken(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "models", name="vera", version="assistant-v1")
    assert not page.exception
    (shown,) = table(page)
    assert shown[0] == "f1" * 8 and "Some Processor" in shown[1]
    old = open_page(filled_folder, "models", name="vera", version="assistant-v2")
    assert table(old) == [["f2" * 8, "its server does not tell where", ""]]
    assert old.button(key="renew-print").disabled, "a viewer takes nothing anew"


def visit(world: World, name: str) -> Console:
    installation = Installation(world.settings, world.store, lambda: world.now)
    return Console(installation, {"name": name, "role": "approver"}, world.now, {}, world.sign_in(name))


def test_an_approver_has_it_taken_anew_for_a_reason_and_the_page_then_waits_for_it(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(filled, "models", name="ann", version="assistant-v1")
    page.button(key="renew-print").click().run()
    assert not page.exception
    assert page.button(key="renew-print-do").label == "Take it anew"
    monkeypatch.setattr(actions.st, "session_state", {})
    assert not actions.renew_fingerprint(visit(filled, "ann"), "assistant-v1", " ")
    assert not actions.renew_fingerprint(visit(filled, "otto"), "assistant-v1", "An operator may not."), "by the store"
    assert kept(filled, "assistant-v1")[0] == "f1" * 16
    assert actions.renew_fingerprint(visit(filled, "ann"), "assistant-v1", "The server has another GPU.")
    assert kept(filled, "assistant-v1") == ("", [])
    monkeypatch.undo()
    with filled.store.read() as tx:
        (event,) = [event for event in audit.events(tx) if event.kind == "version.fingerprint_forgotten"]
    assert (event.actor, event.subject, event.body["reason"]) == ("ann", "assistant-v1", "The server has another GPU.")


def test_a_version_without_one_says_when_it_comes(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        prints.forget(tx, "assistant-v1", actor="command-line:ops", reason="Another GPU.")
    page = open_page(filled, "models", name="ann", version="assistant-v1")
    assert not page.exception
    assert "taken when it is loaded" in "\n".join(str(element.value) for element in page.text)
