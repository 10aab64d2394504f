"""A promotion on trial on the Models page: asked for with a share, its numbers, and a person's word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from dashboard import actions, canary
from dashboard.charts import ALARM
from dashboard.plots import Bar, Dot, Word
from retrain.canary import Tally, judge
from store import decisions, deployments, tables, trials
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_act import told, visit

__all__ = ["told"]


def deployment(world: World) -> Any:
    with world.store.read() as tx:
        return tx.one(sa.select(tables.deployments).order_by(tables.deployments.c.id.desc()).limit(1))


def begin(world: World, *, measured: bool = True, late: int = 0) -> None:
    """A canary; `late` people met the champion while the candidate was not there yet."""
    pairs = {
        "negative_feedback": (Tally(50, 6), Tally(210, 20)),
        "refusal_rate": (Tally(60, 3), Tally(240, 10)),
        "errors": (Tally(60, 0), Tally(240 + late, 1)),
    }
    found = judge(pairs, share=0.2, wanted=200, alpha=0.05, margin=0.1)
    with world.store.write(world.now) as tx:
        deployments.request_promotion(tx, "assistant", "assistant-v2", actor="ann", reason="Better.", share=20)
        id = deployments.requested(tx)[-1]["id"]
        trials.begin(tx, id, "canary", actor="system:release")
        if measured:
            trials.record(tx, id, "canary", found.json())


@pytest.mark.parametrize(("preset", "how"), [(0, "All at once"), (30, "Canary")])
def test_the_promote_dialog_offers_a_share_and_begins_with_what_the_setting_says(
    filled: World, open_page: Open, preset: int, how: str
) -> None:
    chosen = replace(filled.settings, retrain=replace(filled.settings.retrain, canary_share=preset))
    page = open_page(replace(filled, settings=chosen), "models", name="bea")
    page.button(key=f"approve-{filled.promote}").click().run()
    assert not page.exception
    assert page.radio(key=f"how-{filled.promote}").value == how
    shares = [box for box in page.selectbox if box.key == f"share-{filled.promote}"]
    assert [box.value for box in shares] == ([preset] if preset else [])
    assert not page.checkbox(key=f"shadow-{filled.promote}").value


def test_a_promotion_is_approved_with_the_share_that_was_chosen(filled: World, told: dict[str, object]) -> None:
    with filled.store.read() as tx:
        digest = decisions.get(tx, filled.promote)["digest"]
    assert actions.approve(visit(filled, "bea"), filled.promote, digest, "", "Done.", share=20, shadow=60)
    row = deployment(filled)
    assert (row["state"], row["share"], row["shadow"]) == ("requested", 20, 60)


@pytest.mark.parametrize(
    ("verb", "state", "held"), [("promote", "live", ""), ("abort", "reverted", ""), ("hold", "canary", "bea")]
)
def test_a_person_decides_with_a_reason(
    filled: World, told: dict[str, object], verb: str, state: str, held: str
) -> None:
    begin(filled)
    assert not actions.decide_trial(visit(filled, "otto"), verb, deployment(filled)["uuid"], "Because.")
    assert not actions.decide_trial(visit(filled, "bea"), verb, deployment(filled)["uuid"], " ")
    assert actions.decide_trial(visit(filled, "bea"), verb, deployment(filled)["uuid"], "Because.")
    row = deployment(filled)
    assert (row["state"], row["held_by"]) == (state, held)


def test_an_approved_promotion_that_waits_says_why_and_is_called_off(
    filled: World, open_page: Open, told: dict[str, object]
) -> None:
    with filled.store.read() as tx:
        digest = decisions.get(tx, filled.promote)["digest"]
    assert actions.approve(visit(filled, "bea"), filled.promote, digest, "", "Done.")
    with filled.store.write(filled.now) as tx:
        deployments.delay(tx, deployment(filled)["id"], "The model server is <b>away</b>.")
    page = open_page(filled, "models", name="bea")
    assert not page.exception
    assert any("Not yet: The model server is <b>away</b>." in str(text.value) for text in page.text)
    page.button(key=f"abort-{deployment(filled)['id']}").click().run()
    assert not page.exception
    assert actions.decide_trial(visit(filled, "bea"), "abort", deployment(filled)["uuid"], "Not today.")
    assert deployment(filled)["state"] == "reverted"
    assert not [one for one in open_page(filled, "models", name="bea").button if str(one.key).startswith("abort-")]


def test_the_numbers_of_a_canary_and_a_persons_buttons(filled: World, open_page: Open) -> None:
    begin(filled)
    page = open_page(filled, "models", name="bea")
    assert not page.exception
    assert any("60 of 200" in str(bar.proto.text) for bar in page.get("progress"))
    assert any("more answers needed" in str(text.value) for text in page.text)
    for verb in ("promote", "abort", "hold"):
        page = open_page(filled, "models", name="bea")
        page.button(key=f"trial-{verb}").click().run()
        assert not page.exception
        assert page.text_input(key="trial-why").label == "Why?"
    with filled.store.write(filled.now) as tx:
        trials.hold(tx, deployment(filled)["uuid"], actor="ann", reason="So.")
    assert not open_page(filled, "models", name="bea").button(key="trial-let_go").disabled


def test_a_comparison_whose_draw_is_broken_says_so_instead_of_nothing(filled: World, open_page: Open) -> None:
    begin(filled, late=300)
    page = open_page(filled, "models", name="bea")
    assert not page.exception
    assert any("Which is better? That cannot be said" in str(text.value) for text in page.text)


def test_the_history_says_how_a_canary_ended(filled: World, open_page: Open) -> None:
    begin(filled)
    with filled.store.write(filled.now) as tx:
        trials.abort(tx, deployment(filled)["uuid"], actor="ann", reason="It is rude.")
    page = open_page(filled, "models", name="bea")
    (first, *_) = next(frame.value for frame in page.dataframe if "Outcome" in frame.value).to_dict("records")
    assert (first["What"], first["Outcome"]) == ("Promotion, canary 20 %", "Aborted by ann: It is rude.")


def test_a_canary_of_which_nothing_was_seen_and_an_operator_who_may_not_decide(filled: World, open_page: Open) -> None:
    begin(filled, measured=False)
    page = open_page(filled, "models", name="otto")
    assert not page.exception
    assert any("Nothing was seen" in str(text.value) for text in page.text)
    assert all(page.button(key=f"trial-{verb}").disabled for verb in ("promote", "abort", "hold"))


def test_the_figure_has_both_intervals_and_says_what_is_missing() -> None:
    known = {"value": 0.1, "low": 0.05, "high": 0.2, "n": 60, "needed": 0}
    few = {"value": None, "low": None, "high": None, "n": 3, "needed": 17}
    measures = [{"name": "errors", "verdict": "fail", "candidate": known, "champion": few}]
    figure = canary.rates(measures, "<b>new</b>", "old")
    bar, dot, word = figure.marks
    assert isinstance(bar, Bar)
    assert isinstance(dot, Dot)
    assert (bar.start, bar.end, dot.x) == (pytest.approx(5.0), pytest.approx(20.0), pytest.approx(10.0))
    assert bar.colour == ALARM
    assert word == Word(0.0, 1.5, "3 of 20 rows needed", beside=True)
    assert "<b>" not in figure.html()
    assert "candidate 10.0 %" in canary.described(measures)
