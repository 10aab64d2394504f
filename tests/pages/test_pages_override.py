"""A gate that did not pass: the page offers the way past it to those who may ask, and never to its asker alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import actions
from dashboard.console import Console
from dashboard.installation import Installation
from retrain import orders
from store import decisions, deployments, versions
from store.queries import models as queries
from tests.console_world import World
from tests.pages.conftest import Open


def texts(page: AppTest) -> str:
    return "\n".join(str(element.value) for part in (page.text, page.caption) for element in part)


def report_of(world: World, name: str) -> Any:
    with world.store.read() as tx:
        return queries.gate(tx, versions.get(tx, name).id)


def visit(world: World, name: str) -> Console:
    installation = Installation(world.settings, world.store, lambda: world.now)
    return Console(installation, {"name": name, "role": "operator"}, world.now, {}, world.sign_in(name))


def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otto asks for an override as the dialog does, and the worker takes it."""
    monkeypatch.setattr(actions.st, "session_state", {})
    assert actions.ask_override(
        visit(world, "otto"), "assistant-v3", report_of(world, "assistant-v3")["digest"], "It is urgent."
    )
    with world.store.write(world.now) as tx:
        orders.obey(tx, world.settings, "w1")


def test_the_way_past_a_gate_is_there_only_where_it_did_not_pass(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "models", name="otto", version="assistant-v3")
    assert not page.exception
    page.button(key="override").click().run()
    assert not page.exception
    assert page.button(key="override-do").label == "Ask for an override"
    assert "Another person decides" in texts(page)
    passed = open_page(filled_folder, "models", name="otto", version="assistant-v2")
    assert "override" not in {button.key for button in passed.button}
    viewer = open_page(filled_folder, "models", name="vera", version="assistant-v3")
    assert viewer.button(key="override").disabled


def test_who_asked_cannot_approve_it_and_another_can(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    generous = replace(filled.settings.retrain, allow_self_approval=True)
    filled.settings = replace(filled.settings, retrain=generous)
    asked(filled, monkeypatch)
    with filled.store.read() as tx:
        (row,) = [row for row in decisions.waiting(tx) if row["subject"] == "assistant-v3"]
    assert "It is urgent." in row["reason"]
    with filled.store.write(filled.now) as tx:
        tx.execute(decisions.decisions.update().where(decisions.decisions.c.id == row["id"]).values(proposer="ann"))
    own = open_page(filled, "models", name="ann", decision=row["uuid"])
    assert own.button(key=f"approve-{row['uuid']}").disabled
    assert "another approver must answer it" in texts(own)
    other = open_page(filled, "models", name="bea", decision=row["uuid"])
    assert not other.button(key=f"approve-{row['uuid']}").disabled
    assert not other.exception


def test_a_promotion_that_came_to_nothing_is_proposed_again_and_only_then(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that was aborted for a larger share, say: the gate has passed it, and nobody else would ask again."""
    waiting = open_page(filled, "models", name="otto", version="assistant-v2")
    assert "again" not in {button.key for button in waiting.button}, "its proposal waits"
    with filled.store.write(filled.now) as tx:
        decisions.reject(tx, filled.promote, actor="bea", reason="Not on a Friday.")
    page = open_page(filled, "models", name="otto", version="assistant-v2")
    page.button(key="again").click().run()
    assert not page.exception
    assert open_page(filled, "models", name="vera", version="assistant-v2").button(key="again").disabled
    assert "again" not in {one.key for one in open_page(filled, "models", name="otto", version="assistant-v3").button}
    monkeypatch.setattr(actions.st, "session_state", {})
    console = visit(filled, "otto")
    report = report_of(filled, "assistant-v2")["digest"]
    assert not actions.ask_again(console, "assistant-v2", report, " ")
    assert not actions.ask_again(console, "assistant-v2", "0" * 64, "It is Monday.")
    assert not actions.ask_again(console, "assistant-v3", report_of(filled, "assistant-v3")["digest"], "It is Monday.")
    assert actions.ask_again(console, "assistant-v2", report, "It is Monday.")
    with filled.store.write(filled.now) as tx:
        assert orders.obey(tx, filled.settings, "w1") == "promote_again done for otto"
        (row,) = [row for row in decisions.waiting(tx) if row["subject"] == "assistant-v2"]
        assert (row["proposer"], row["body"]["report"]) == ("system:gate", report)
        assert row["reason"].endswith("Proposed again by otto: It is Monday.")
        assert decisions.approve(tx, row["uuid"], actor="bea", digest=row["digest"], share=50)


def test_a_report_against_a_version_that_is_no_longer_live_says_that_it_counts_no_more(
    filled: World, open_page: Open
) -> None:
    with filled.store.write(filled.now) as tx:
        deployments.request_promotion(tx, "assistant", "assistant-v3", actor="ann", reason="Better.")
        deployments.flip(tx, deployments.requested(tx)[-1]["id"], actor="system:release")
    told = "assistant-v1 is not live any more, assistant-v3 is: on this report nothing can be promoted."
    assert told in texts(open_page(filled, "models", name="bea"))
    assert "not live any more" not in texts(open_page(filled, "models", name="bea", version="assistant-v3"))
