"""Segments on the Models page: chosen for a promotion with how many people they are, shown, and rolled back."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.segments import Segment
from core.types import Inference
from dashboard import actions
from retrain.canary import Tally, judge
from store import apart, decisions, deployments, inferences, segments, tables, trials
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_act import told, visit

__all__ = ["told"]
PRO = Segment("plan", "pro")
HOSTILE = Segment("plan", "![x](https://example.invalid/x.png)")


def met(world: World, segment: Segment, people: int) -> None:
    rows = [
        Inference(
            f"00000000-0000-0000-{sum(map(ord, segment.value)):04d}-{place:012d}",
            world.now,
            "assistant",
            "assistant-v1",
            "live",
            [],
            "Hello?",
            "Hello.",
            user=f"{segment.value}-{place}",
            labels={segment.label: segment.value},
        )
        for place in range(people)
    ]
    with world.store.write(world.now) as tx:
        inferences.record(tx, rows)


def set_apart(world: World, segment: Segment = PRO, *, measured: bool = False) -> None:
    """Let the segment be answered by assistant-v2, or with `measured` begin an A/B test of it there."""
    met(world, segment, 30)
    with world.store.write(world.now) as tx:
        how: dict[str, Any] = {"share": 50, "hold": True} if measured else {}
        apart.request(tx, "assistant", segment, "assistant-v2", actor="ann", reason="Better for them.", **how)
        id = deployments.requested(tx)[-1]["id"]
        if not measured:
            deployments.flip(tx, id, actor="system:release", fingerprint="f2" * 16)
            return
        pairs = {
            "negative_feedback": (Tally(140, 9), Tally(150, 52)),
            "refusal_rate": (Tally(160, 3), Tally(166, 5)),
            "errors": (Tally(160, 0), Tally(166, 1)),
        }
        trials.begin(tx, id, "canary", actor="system:release")
        trials.record(tx, id, "canary", judge(pairs, share=0.5, wanted=200, alpha=0.05, margin=0.1).json())


def test_the_promote_dialog_offers_segments_with_their_people_and_an_ab_test(filled: World, open_page: Open) -> None:
    met(filled, PRO, 30)
    page = open_page(filled, "models", name="bea")
    page.button(key=f"approve-{filled.promote}").click().run()
    whom = page.selectbox(key=f"whom-{filled.promote}")
    assert whom.value is None
    assert any("plan=pro (30 people)" in str(option) for option in whom.options)
    assert page.radio(key=f"how-{filled.promote}").options == ["All at once", "Canary", "A/B test"]


def test_an_approver_promotes_for_a_segment_and_nobody_for_one_that_was_never_seen(
    filled: World, told: dict[str, Any]
) -> None:
    met(filled, PRO, 3)
    with filled.store.read() as tx:
        digest = decisions.get(tx, filled.promote)["digest"]
    bea = visit(filled, "bea")
    assert not actions.approve(bea, filled.promote, digest, "", "Done.", segment=Segment("plan", "gold"))
    assert "plan=pro" in told["_told"]["words"]
    assert not actions.approve(visit(filled, "otto"), filled.promote, digest, "", "Done.", segment=PRO)
    assert actions.approve(bea, filled.promote, digest, "", "Done.", share=50, hold=True, segment=PRO)
    with filled.store.read() as tx:
        row = deployments.requested(tx)[-1]
    assert (row["deployment"], row["share"], row["held_by"]) == ("assistant@plan=pro", 50, "bea")


def test_a_segment_shows_its_version_and_goes_back_alone_or_with_everybody(
    filled: World, open_page: Open, told: dict[str, Any]
) -> None:
    set_apart(filled, HOSTILE)
    page = open_page(filled, "models", name="bea")
    assert not page.exception
    assert any(f"{HOSTILE}: assistant-v2" in str(text.value) for text in page.text)
    assert not any("example.invalid" in str(one.value) for one in (*page.markdown, *page.caption))
    with filled.store.read() as tx:
        (own,) = segments.own(tx, "assistant")
    page.button(key=f"roll-back-{own['uuid']}").click().run()
    assert not page.exception
    assert page.selectbox(key="segment-back-to").options == ["assistant-v1", "assistant-base"]
    alone = open_page(filled, "models", name="bea", version="assistant-v2")
    assert any("Serves a segment" in str(badge.value) for badge in alone.markdown)
    page = open_page(filled, "models", name="bea")
    page.button(key="roll-back").click().run()
    assert page.checkbox(key="back-whole").value
    name = str(own["deployment"])
    bea, to = visit(filled, "bea"), {"away_from": "assistant-v2", "to": "assistant-v1"}
    assert not actions.roll_back(visit(filled, "otto"), "Rude.", deployment=name, **to)
    assert actions.roll_back(bea, "Rude.", deployment=name, **to)
    assert actions.roll_back(bea, "Worse.", away_from="assistant-v1", to="assistant-base", everybody=True)
    with filled.store.read() as tx:
        live = tx.all(sa.select(tables.routes.c.version))
    assert [row["version"] for row in live] == ["assistant-base", "assistant-base"]


def test_an_ab_test_says_which_is_better_and_waits_for_a_person(filled: World, open_page: Open) -> None:
    set_apart(filled, measured=True)
    page = open_page(filled, "models", name="bea")
    assert not page.exception
    texts = " ".join(str(text.value) for text in page.text)
    assert "50 % of the people with plan=pro" in texts
    assert "The candidate is disliked less: 9 of 61 disliked answers" in texts
    assert "n = 140" in texts
    assert "n = 150" in texts
    assert "an A/B test begun by ann, ended by a person" in texts
