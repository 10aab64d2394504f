"""A proposal after its answer: what became of it, in the tense and with the words of the people who were there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from dashboard import actions
from store import decisions, deployments, tables, trials
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_act import told, visit
from tests.pages.test_pages_draw import texts
from tests.pages.test_pages_trial import begin

__all__ = ["told"]

PASSED = "Every check passed."
DONE = {"actor": "ann", "reason": "It is liked."}
MAY = f"{PASSED} An approver may promote it."


def approved(world: World, **how: Any) -> int:
    """Bea approves the promotion of assistant-v2; returns the deployment's key."""
    with world.store.write(world.now) as tx:
        digest = decisions.get(tx, world.promote)["digest"]
        decisions.approve(tx, world.promote, actor="bea", digest=digest, comment="After the sale.", **how)
        return int(deployments.requested(tx)[-1]["id"])


def test_only_a_proposal_that_waits_says_when_it_expires_and_that_somebody_may_promote(
    filled: World, open_page: Open
) -> None:
    page = texts(open_page(filled, "models", name="bea", version="assistant-v2"))
    assert "; expires in" in page and MAY in page and "Waits for you" in page
    for name in ("otto", "vera"):
        page = texts(open_page(filled, "models", name=name, version="assistant-v2"))
        assert "Waits for an approver" in page and "Waits for you" not in page
    with filled.store.write(filled.now) as tx:
        decisions.reject(tx, filled.promote, actor="bea", reason="Not before the sale.")
    page = texts(open_page(filled, "models", name="bea", version="assistant-v2"))
    assert "bea, just now: Not before the sale." in page
    assert "expir" not in page
    assert PASSED in page and MAY not in page


def test_a_proposal_that_nobody_answered_says_since_when_it_cannot_be(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        past = filled.now - timedelta(hours=2)
        tx.execute(tables.decisions.update().where(tables.decisions.c.uuid == filled.promote).values(expires_at=past))
    page = texts(open_page(filled, "models", name="bea", version="assistant-v2"))
    assert "; expired 2 h ago" in page and "Expired" in page
    assert MAY not in page


@pytest.mark.parametrize("ended", ["rejected", "expired"])
def test_a_proposal_that_came_to_nothing_does_not_speak_of_what_will_be(
    filled: World, open_page: Open, ended: str
) -> None:
    def page() -> str:
        return texts(open_page(filled, "runs", name="bea", decision=filled.retrain))

    open_words = ("What changes", "What stays", "How to undo it", "Will it help?")
    assert all(words in page() for words in open_words)
    with filled.store.write(filled.now) as tx:
        if ended == "rejected":
            decisions.reject(tx, filled.retrain, actor="bea", reason="Not before the sale.")
        else:
            past = filled.now - timedelta(hours=2)
            mine = tables.decisions.c.uuid == filled.retrain
            tx.execute(tables.decisions.update().where(mine).values(expires_at=past))
    over = page()
    assert not any(words in over for words in open_words)
    assert "What it would have changed, as proposed" in over and "Would it have helped?" in over


def test_an_expired_proposal_does_not_wait_on_the_page_of_another_alert(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        tx.execute(tables.decisions.update().values(alert_id=None))
    assert "Waits already" in texts(open_page(filled, "alerts", alert=filled.alert))
    with filled.store.write(filled.now) as tx:
        tx.execute(tables.decisions.update().values(expires_at=filled.now - timedelta(hours=2)))
    assert "Waits already" not in texts(open_page(filled, "alerts", alert=filled.alert))


def test_what_was_approved_and_came_to_nothing_is_not_called_replaced(filled: World, open_page: Open) -> None:
    id = approved(filled)
    with filled.store.write(filled.now) as tx:
        deployments.fail(tx, id, "assistant-v2 answers otherwise than when it was registered.", actor="system:release")
    page = texts(open_page(filled, "models", name="otto", version="assistant-v2"))
    assert "Not carried out" in page and "Replaced" not in page
    assert "bea, just now: After the sale." in page
    assert "Not carried out. assistant-v2 answers otherwise than when it was registered." in page
    assert MAY not in page


@pytest.mark.parametrize("query", ["version", "decision"])
def test_the_page_on_which_a_promotion_was_approved_shows_what_becomes_of_it(
    filled: World, open_page: Open, query: str
) -> None:
    asked = {query: "assistant-v2" if query == "version" else filled.promote}
    id = approved(filled, share=20)
    with filled.store.write(filled.now) as tx:
        deployments.delay(tx, id, "The model server has no room.")
    page = open_page(filled, "models", name="bea", **asked)
    assert not page.exception
    assert "Not yet: The model server has no room." in texts(page)
    assert not page.button(key=f"abort-{id}").disabled
    with filled.store.write(filled.now) as tx:
        trials.begin(tx, id, "canary", actor="system:release")
    page = open_page(filled, "models", name="bea", **asked)
    assert "assistant-v2 answers 20 % of the people" in texts(page)
    assert "answers 20 %" not in texts(open_page(filled, "models", name="bea", version="assistant-v3"))
    with filled.store.write(filled.now) as tx:
        trials.promote(tx, tx.scalar(sa.select(tables.deployments.c.uuid).where(tables.deployments.c.id == id)), **DONE)
    assert f"{PASSED} It is live." in texts(open_page(filled, "models", name="bea", **asked))


def test_a_promotion_that_cannot_be_loaded_is_called_off_in_words_of_its_own(
    filled: World, open_page: Open, told: dict[str, object]
) -> None:
    id = approved(filled)
    assert "assistant-v2 is being loaded and proved, for everybody" in texts(open_page(filled, "models", name="bea"))
    with filled.store.write(filled.now) as tx:
        deployments.delay(tx, id, "The model server has no room.")
        uuid = tx.scalar(sa.select(tables.deployments.c.uuid).where(tables.deployments.c.id == id))
    page = open_page(filled, "models", name="bea")
    assert "assistant-v2 cannot be loaded yet, for everybody" in texts(page)
    assert "is being loaded" not in texts(page) and "It is tried again by itself" in texts(page)
    page.button(key=f"abort-{id}").click().run()
    assert "what serves now goes on answering" in texts(page)
    assert "An approver can abort it." in texts(open_page(filled, "models", name="otto"))
    assert actions.decide_trial(visit(filled, "bea"), "call_off", uuid, "No room.")
    assert told["_told"] == {"good": True, "words": "Called off. Nothing has changed for anybody."}


def test_an_ab_test_is_called_one_until_a_person_lets_it_go_or_holds_it(filled: World, open_page: Open) -> None:
    id = approved(filled, share=50, hold=True)
    with filled.store.write(filled.now) as tx:
        trials.begin(tx, id, "canary", actor="system:release")
        uuid = tx.scalar(sa.select(tables.deployments.c.uuid).where(tables.deployments.c.id == id))
    page = open_page(filled, "models", name="bea")
    assert "A/B test" in texts(page) and "Canary" not in texts(page)
    assert "an A/B test begun by bea, ended by a person" in texts(page)
    page.button(key="trial-let_go").click().run()
    assert "The A/B test becomes a canary" in texts(page)
    with filled.store.write(filled.now) as tx:
        trials.let_go(tx, uuid, actor="bea", reason="Long enough.")
        trials.hold(tx, uuid, actor="ann", reason="Wait.")
    page = open_page(filled, "models", name="bea")
    assert "A/B test" not in texts(page) and "held by ann" in texts(page)


@pytest.mark.parametrize(
    ("late", "words"),
    [
        (300, "assistant-v1 met 540 of 600 people or conversations, more than its share of 80 % explains."),
        (-220, "assistant-v2 met 60 of 80 people or conversations, more than its share of 20 % explains."),
    ],
)
def test_a_broken_draw_says_which_version_met_too_many(filled: World, open_page: Open, late: int, words: str) -> None:
    begin(filled, late=late)
    page = texts(open_page(filled, "models", name="bea"))
    assert f"Which is better? That cannot be said: {words}" in page
    assert ("loaded the candidate late" in page) is (late > 0)
    assert "Abort it and propose it again." in page
