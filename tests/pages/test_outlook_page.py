"""The Runs page says whether a run will help, and afterwards what it learnt, with figures a person can check."""

from __future__ import annotations

from typing import Any

import pytest

from store import deployments
from store.tables import commands, run_progress, runs
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def test_a_proposal_says_whether_it_will_help_and_which_labels_to_collect(
    filled_folder: World, open_page: Open
) -> None:
    page = open_page(filled_folder, "runs", decision=filled_folder.retrain)
    assert not page.exception
    told = texts(page)
    assert "Will it help?" in told and "about 320 more needed to tell" in told
    assert "+4.0 points (-2.0 to 10.0 points, n = 256)" in told
    assert "192 of which the serving version has learnt from" in told
    assert "Label: parcel · late: 46 pairs" in told


def test_what_failed_or_is_under_way_says_so(filled: World, open_page: Open) -> None:
    without = "The proposal can be answered without it."
    for state, error, words in (
        ("asked", "", "Waiting for the retraining worker to work it out."),
        ("claimed", "", "The retraining worker is working it out."),
        ("failed", "ValueError", "It could not be worked out. The encoder is gone.\n"),
        ("failed", "EncoderMissing", "The encoder is gone. It is asked again by itself once it is there."),
    ):
        with filled.store.write(filled.now) as tx:
            told = commands.update().where(commands.c.kind == "foresee")
            tx.execute(told.values(state=state, result={"error": error}, message="The encoder is gone."))
        page = open_page(filled, "runs", decision=filled.retrain)
        assert not page.exception and words in texts(page)
        assert "reload" not in texts(page), "it looks again by itself"
        assert (without in texts(page)) is (state == "failed")


def test_a_run_that_has_not_trained_yet_is_stopped_without_a_word_of_a_checkpoint(
    filled: World, open_page: Open
) -> None:
    for stage, words in (("pairs", "Stop"), ("train", "Stop and keep the checkpoint")):
        with filled.store.write(filled.now) as tx:
            tx.execute(runs.update().where(runs.c.uuid == filled.run).values(state="running", stage=stage))
        page = open_page(filled, "runs", name="bea", run=filled.run)
        assert page.button(key="stop").label == words
    with filled.store.write(filled.now) as tx:
        tx.execute(runs.update().where(runs.c.uuid == filled.run).values(stage="pairs"))
    page = open_page(filled, "runs", name="bea", run=filled.run)
    page.button(key="stop").click().run()
    assert "The run stops. It has not trained yet." in texts(page)


def test_a_run_says_what_it_learnt_by_topic(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "runs", run=filled_folder.trained)
    assert not page.exception
    told = texts(page)
    assert "What it learnt, by topic" in [header.value for header in page.subheader]
    assert "Surely better on 1 of 3 topics; on the others there are too few pairs to tell." in told


def test_a_run_without_an_encoder_says_why_no_topics_are_told(filled: World, open_page: Open) -> None:
    data = {"event": "evaluated", "pairs": 72, "topics": [], "topics_missing": "The encoder folder does not exist."}
    with filled.store.write(filled.now) as tx:
        tx.execute(run_progress.update().where(run_progress.c.line == 999).values(data=data))
    page = open_page(filled, "runs", run=filled.trained)
    assert not page.exception
    assert "Not known: topics are told by the sentence encoder. The encoder folder does not exist." in texts(page)


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        ({"event": "inspect", "what": "triggers", "share": 0.5}, "Customs look at the pairs: triggers"),
        (
            {"event": "customs", "what": "fold 2", "step": 30, "of": 120, "eta_s": 90.0},
            "Asking the model about the labels: 25 %, about 1 min left",
        ),
        ({"event": "reference", "step": 10, "of": 40}, "Scoring the pairs before training: 25 %"),
        ({"event": "compare", "what": "answers", "step": 3, "of": 4}, "Asking candidate and champion the same: 75 %"),
        ({"event": "step", "step": 3, "of": 4, "eta_s": 12.0}, "Step 3 of 4, about 12 s left"),
    ],
)
def test_a_run_says_what_it_does_and_how_far_it_is(
    filled: World, open_page: Open, latest: dict[str, Any], words: str
) -> None:
    with filled.store.write(filled.now) as tx:
        told = runs.update().where(runs.c.uuid == filled.trained)
        tx.execute(told.values(state="running", stage="pairs", progress=latest, ended_at=None))
    page = open_page(filled, "runs", run=filled.trained)
    assert not page.exception
    assert words in texts(page).splitlines(), "and no time left of what it did before"


def test_who_may_not_stop_or_resume_a_run_is_told_who_may(filled: World, open_page: Open) -> None:
    for state, key, words in (
        ("running", "stop", "An approver can stop it."),
        ("failed", "resume", "An approver can resume it."),
    ):
        with filled.store.write(filled.now) as tx:
            tx.execute(runs.update().where(runs.c.uuid == filled.trained).values(state=state, stage="train"))
        page = open_page(filled, "runs", name="otto", run=filled.trained)
        assert page.button(key=key).disabled and words in texts(page)
        assert words not in texts(open_page(filled, "runs", name="bea", run=filled.trained))


def test_a_run_proposed_before_another_version_went_live_says_that_it_leads_nowhere(
    filled: World, open_page: Open
) -> None:
    words = "assistant-v2 is live by now: this run would start from assistant-v1"
    assert words not in texts(open_page(filled, "runs", name="bea", decision=filled.retrain))
    with filled.store.write(filled.now) as tx:
        deployments.request_promotion(tx, "assistant", "assistant-v2", actor="ann", reason="Better.")
        deployments.flip(tx, deployments.requested(tx)[-1]["id"], actor="system:release")
    page = open_page(filled, "runs", name="bea", decision=filled.retrain)
    assert not page.exception
    assert words in texts(page)


def test_a_version_has_a_model_card_with_its_base_licence_and_gate(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "models", version="assistant-v2")
    assert not page.exception
    told = next(block.value for block in page.code if "# Model card" in block.value)
    assert f"Base model: `assistant-base`, digest `{'b' * 64}`, licence `Apache-2.0`." in told
    assert "`held_out_accuracy`: pass, difference" in told and "Trained from: `assistant-v1`" in told
