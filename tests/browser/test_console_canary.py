"""A canary in Chromium: asked for with a share, looked at, and ended by a person; and an A/B test of a segment."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from retrain.canary import Tally, judge
from store import audit, segments, trials
from store.tables import deployments
from tests.browser.conftest import Served, Visitor

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]


def test_a_canary_is_asked_for_watched_and_aborted(console: Served, visit: Visit) -> None:
    me = visit(console.url)
    me.sign_in("bea")
    me.open("models")
    me.page.get_by_role("button", name="Promote …").click()
    dialog = me.page.get_by_role("dialog")
    dialog.get_by_text("Canary", exact=True).click()
    dialog.get_by_text("A person keeps one version while it lasts.").wait_for()
    dialog.get_by_role("button", name="Promote", exact=True).click()
    me.page.get_by_text("then its trial begins").wait_for()
    pairs = {
        "negative_feedback": (Tally(50, 6), Tally(210, 20)),
        "refusal_rate": (Tally(60, 3), Tally(240, 10)),
        "errors": (Tally(60, 0), Tally(240, 1)),
    }
    store = console.world.store
    with store.write(console.world.now) as tx:
        row = tx.one(sa.select(deployments).where(deployments.c.state == "requested"))
        assert row is not None
        assert row["share"] == 5
        trials.begin(tx, row["id"], "canary", actor="system:release")
        found = judge(pairs, share=0.2, wanted=200, alpha=0.05, margin=0.1)
        trials.record(tx, row["id"], "canary", found.json())
    me.open("models")
    me.page.get_by_text("60 of 200 people or conversations met it").wait_for()
    me.page.get_by_role("button", name="Abort …").click()
    dialog = me.page.get_by_role("dialog")
    dialog.get_by_label("Why?").fill("It is rude.")
    dialog.get_by_role("button", name="Abort", exact=True).click()
    me.page.get_by_text("The trial is over.").wait_for()
    with store.read() as tx:
        ended = tx.one(sa.select(deployments).where(deployments.c.id == row["id"]))
        assert audit.verify(tx).bad is None
    assert ended is not None
    assert (ended["state"], ended["message"]) == ("reverted", "Aborted by bea: It is rude.")


def test_an_ab_test_of_a_segment_is_asked_for_with_its_people(console: Served, visit: Visit) -> None:
    store = console.world.store
    me = visit(console.url)
    me.sign_in("bea")
    me.open("models")
    with store.read() as tx:
        segment, people = next(iter(segments.seen(tx, "assistant").items()))
    me.page.get_by_role("button", name="Promote …").click()
    dialog = me.page.get_by_role("dialog")
    dialog.get_by_label("For whom?").click()
    me.page.get_by_text(f"Only for the segment {segment} ({people:,} people)").click()
    dialog.get_by_text("the proposal for everybody goes on waiting").wait_for()
    dialog.get_by_text("A/B test", exact=True).click()
    dialog.get_by_text("nothing moves by itself, you end it").wait_for()
    dialog.get_by_text("200 are wanted").wait_for()
    dialog.get_by_role("button", name="Promote", exact=True).click()
    me.page.get_by_text("then its trial begins").wait_for()
    with store.read() as tx:
        row = tx.one(sa.select(deployments).where(deployments.c.state == "requested"))
        (own,) = segments.own(tx, "assistant")
    assert row is not None
    assert (row["deployment"], row["share"], row["held_by"]) == (own["deployment"], 50, "bea")
