"""The Preference data page: funnel, quarantine, one pair, quality, datasets, import, and who may do what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import exports, funnel
from dashboard.views import pair_import, quarantine
from retrain.pairs import orders
from retrain.pairs.orders import Desk
from store import audit, commands, pairs, staging, tables
from store.queries import commands as command_queries
from store.queries import pairs as queries
from tests.console_pairs import HELD
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts
from tests.pages.test_traffic_page import columns


def drawn(page: AppTest) -> str:
    """Texts and figures."""
    return texts(page) + "\n".join(str(element.proto.body) for element in page.get("html"))


def state_of(world: World, uuid: str) -> str:
    with world.store.read() as tx:
        return str(
            tx.scalar(tables.pairs.select().with_only_columns(tables.pairs.c.state).where(tables.pairs.c.uuid == uuid))
        )


def test_the_page_says_how_many_pairs_are_left_after_each_step(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "pairs")
    told = drawn(page)
    assert not page.exception
    assert "60 approved pairs, enough for a run. 7 pairs in quarantine wait for a person. Customs looked" in told
    for step in ("Collected  69", "Without repeats  68", "Cleared  65", "In quarantine  7", "Approved  60"):
        assert step in told
    assert "1 pair not checked yet. 1 pair rejected by a person. 8 rows of imported files were there already." in told


def test_figures_of_the_lot_carry_interval_and_count_or_say_what_is_missing(
    filled_folder: World, open_page: Open
) -> None:
    told = drawn(open_page(filled_folder, "pairs"))
    assert "Longer: 92.0 % (80.0 to 100.0 %, n = 60)" in told
    assert "More exclamations: 4 of 20 rows needed" in told
    assert "With other prompts: 71.0 % (58.0 to 82.0 %, n = 60)" in told
    assert "With the model as it is: 71.0 % (58.0 to 82.0 %, n = 43)" in told
    assert "With the model, held out: 71.0 % (58.0 to 82.0 %, n = 44)" in told
    assert "Between people: 6 of 20 rows needed" in told
    assert "Repeats: 0 exact and 3 near ones among 60 pairs." in told
    assert "What customs could not tell" in told and "How far people agree is not known: 14 more answers" in told


def test_sources_papers_and_contributors_are_counted(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "pairs")
    (papers,) = columns(page, "Source", "Licence", "Consent")
    assert list(papers["Pairs"]) == ["45", "24"] and set(papers["Consent"]) == {"yes", "not said"}
    (people,) = columns(page, "Agrees with others")
    assert list(people["Agrees with others"]) == [
        "90.0 % (70.0 to 98.0 %, n = 22)",
        "too few pairs that others judged too",
    ]
    assert "Of 69 pairs 33.3 % name their conversation and 33.3 % the version that answered." in texts(page)


def test_the_queue_is_filtered_by_reason_and_shows_no_text_of_a_pair(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "pairs")
    (rows,) = columns(page, "Found", "Why")
    assert len(rows) == len(HELD) and "return order" not in rows.to_csv()
    page.selectbox(key="pairs-flag").set_value("personal_data").run()
    (rows,) = columns(page, "Found", "Why")
    assert list(rows["Found"]) == ["Personal data"] * 2
    page.selectbox(key="pairs-state").set_value("rejected").run()
    (rows,) = columns(page, "Found", "Why")
    assert list(rows["Decided by"]) == ["ann"]
    for query in ({"state": "gone"}, {"flag": "<img>"}, {"before": "x"}, {"before": "3"}):
        assert not open_page(filled_folder, "pairs", **query).exception


def test_an_approver_releases_with_a_reason_and_may_take_it_back(filled: World, open_page: Open) -> None:
    page = open_page(filled, "pairs", pair=filled.pair)
    told = texts(page)
    assert "It holds personal data: card number." in told and "Can I return order 67?" in told
    assert "checks leave it alone from now on" in told
    press(page, "Release")
    assert "This needs a reason." in texts(page) and state_of(filled, filled.pair) == "quarantined"
    page.text_input(key="pair-why").set_value("The number is made up.")
    press(page, "Release")
    assert not page.exception and state_of(filled, filled.pair) == "approved"
    assert "ann released it: The number is made up." in texts(page)
    page.text_input(key="pair-why").set_value("It is not.")
    press(page, "Reject")
    assert state_of(filled, filled.pair) == "rejected"
    with filled.store.read() as tx:
        told_events = [(event.kind, event.actor, event.body["reason"]) for event in list(audit.events(tx))[-2:]]
        assert audit.verify(tx).bad is None
    assert told_events == [("pair.released", "ann", "The number is made up."), ("pair.rejected", "ann", "It is not.")]


def press(page: AppTest, label: str) -> None:
    next(button for button in page.button if button.label == label).click().run()


@pytest.mark.parametrize("name", ["vera", "otto"])
def test_others_than_approvers_release_nothing(filled_folder: World, open_page: Open, name: str) -> None:
    page = open_page(filled_folder, "pairs", name=name, pair=filled_folder.pair)
    assert not page.exception and "An approver can decide this." in texts(page)
    assert all(button.disabled for button in page.button if button.label in ("Release", "Reject"))
    assert page.button(key="check-do").disabled == (name == "vera")


def test_what_is_not_there_is_said(filled_folder: World, open_page: Open) -> None:
    assert "There is no such pair" in texts(open_page(filled_folder, "pairs", pair="x"))
    assert "There is no such dataset" in texts(open_page(filled_folder, "pairs", dataset="x"))


def test_a_dataset_has_its_card_to_read_and_to_save(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "pairs", dataset=filled_folder.dataset)
    assert "Labels cannot be told wrong from right." in texts(page)
    assert not page.exception and "45 pairs of 45 prompts" in texts(page)
    assert "6 pairs, 0.62 on average" in texts(page)
    (card,) = columns(page, "About", "What")
    assert set(card["About"]) >= {"Sources", "Licences", "Consent", "What customs marked"}
    assert len(page.get("download_button")) == 2


def test_a_run_on_a_locked_dataset_is_proposed_from_its_card(filled: World, open_page: Open) -> None:
    assert open_page(filled, "pairs", name="vera", dataset=filled.dataset).button(key="propose").disabled
    page = open_page(filled, "pairs", name="otto", dataset=filled.dataset)
    page.button(key="propose").click().run()
    assert "as it is: nothing is drawn anew" in texts(page)
    with filled.store.write(filled.now) as tx:
        digest = tx.scalar(tables.datasets.select().with_only_columns(tables.datasets.c.digest))
        args = {"kind": "retrain", "reason": "Only what we have read.", "alert": "", "dataset": digest}
        commands.ask(tx, "propose", owner="retrain", args=args, actor="otto")
    assert "Waiting for the retraining worker." in texts(
        open_page(filled, "pairs", name="otto", dataset=filled.dataset)
    )


def obey(world: World) -> str:
    """What the worker does with the oldest command."""
    return asyncio.run(orders.obey(Desk(world.store, world.settings, lambda: world.now), "w1"))


@pytest.mark.slow
def test_a_check_is_asked_for_and_what_it_found_shows(filled: World, open_page: Open) -> None:
    page = open_page(filled, "pairs", name="otto")
    page.button(key="check-do").click().run()
    assert "Waiting for the retraining worker." in texts(page)
    assert obey(filled) == "check_pairs done for otto"
    page.run()
    told = texts(page)
    assert "60 pairs checked, " in told and "of them quarantined now." in told
    assert "when otto had them checked" in told


def test_a_locked_dataset_is_the_operators_and_has_a_card(filled: World, open_page: Open) -> None:
    page = open_page(filled, "pairs", name="otto")
    page.button(key="lock").click().run()
    assert "A dataset cannot be changed or taken back" in texts(page)
    with filled.store.write(filled.now) as tx:
        commands.ask(tx, "lock_dataset", owner="retrain", args={"max_train_pairs": 32}, actor="otto")
        (asked, *_) = command_queries.recent(tx, "lock_dataset", {})
        commands.claim(tx, "retrain", "w1", 60.0, kinds=("lock_dataset",))
        commands.finish(tx, asked["id"], {"dataset": filled.dataset, "digest": "d" * 64, "train": 45, "held_out": 15})
    assert "45 pairs to train on and 15 held out, under dddddddddddddddd." in texts(
        open_page(filled, "pairs", name="otto")
    )


def lines(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


GOOD = [{"prompt": f"May I keep parcel {n}?", "chosen": f"Yes, {n}.", "rejected": "No."} for n in range(30)]


def upload(page: AppTest, data: bytes, name: str = "more.jsonl", **papers: str) -> None:
    page.file_uploader(key="pairs-upload").set_value((name, data, "application/json"))
    for field, value in papers.items():
        page.text_input(key=f"pairs-{field}").set_value(value)
    press(page, "Preview")


def test_a_file_is_looked_at_and_then_imported_whole(filled: World, open_page: Open) -> None:
    page = open_page(filled, "pairs", name="otto", show="import")
    upload(page, lines([*GOOD, GOOD[0]]), licence="CC0-1.0")
    assert not page.exception and obey(filled) == "preview_pairs done for otto"
    page.run()
    with filled.store.read() as tx:
        assert queries.counts(tx)["collected"] == 1
    (first,) = columns(page, "Prompt", "Chosen", "Rejected")
    assert first["Chosen"][0] == "Yes, 0."
    press(page, "Import 30 pairs")
    assert obey(filled) == "import_pairs done for otto"
    page.run()
    assert "31 rows read, 30 of them new." in texts(page)
    with filled.store.read() as tx:
        kept = {pair.source: pair.licence for pair in pairs.collected(tx)}
        assert queries.counts(tx)["collected"] == 31 and kept["more.jsonl"] == "CC0-1.0"
        assert audit.verify(tx).bad is None


def test_wrong_rows_are_listed_by_line_and_nothing_is_imported(filled: World, open_page: Open) -> None:
    page = open_page(filled, "pairs", name="otto", show="import")
    upload(page, lines([GOOD[0], {"prompt": "x"}, GOOD[1]]))
    obey(filled)
    page.run()
    (wrong,) = columns(page, "Line", "What is wrong")
    assert list(wrong["Line"]) == ["2"]
    assert next(button for button in page.button if button.label.startswith("Import ")).disabled
    # Whoever goes around the page gets no further.
    with filled.store.write(filled.now) as tx:
        digest = command_queries.recent(tx, "preview_pairs", {})[0]["args"]["digest"]
        commands.ask(tx, "import_pairs", owner="retrain", args={"digest": digest, "name": "x"}, actor="otto")
    assert "import_pairs failed for otto: x has 1 wrong rows: line 2" in obey(filled)
    with filled.store.read() as tx:
        assert queries.counts(tx)["collected"] == 1


def test_what_is_no_file_of_pairs_is_a_sentence(filled: World, open_page: Open) -> None:
    page = open_page(filled, "pairs", name="otto", show="import")
    press(page, "Preview")
    assert "No file was chosen." in texts(page)
    upload(page, lines(GOOD[:1]), map="chosen")
    assert "A column is named as field=column." in texts(page)
    assert pair_import.read_map(" chosen=better, rejected = worse ") == {"chosen": "better", "rejected": "worse"}


def test_a_staged_file_that_changed_or_is_gone_is_not_read(filled: World) -> None:
    digest = staging.put(filled.settings.home, lines(GOOD), now=filled.now)
    (filled.settings.home / "staging" / digest).write_bytes(b"{}")
    for wanted, why in ((digest, "is not what was chosen"), ("a" * 64, "no longer kept"), ("../x", "names no staged")):
        with filled.store.write(filled.now) as tx:
            commands.ask(tx, "preview_pairs", owner="retrain", args={"digest": wanted}, actor="otto")
        assert why in obey(filled)


def test_a_command_of_somebody_who_may_no_longer_is_refused(filled: World) -> None:
    with filled.store.write(filled.now) as tx:
        commands.ask(tx, "check_pairs", owner="retrain", args={}, actor="otto")
        tx.execute(tables.accounts.update().where(tables.accounts.c.name == "otto").values(role="viewer"))
    assert "The role viewer may not check pairs." in obey(filled)


def test_steps_of_the_funnel_only_fall_and_flags_are_counted_once() -> None:
    states = {"collected": 1, "approved": 4, "quarantined": 3, "rejected": 1}
    found = funnel.steps(states, {" duplicate no_licence ": 1, " no_licence ": 2, " trigger ": 1})
    assert [step.count for step in found] == [9, 8, 6, 3, 4]
    assert quarantine.by_flag({" a b ": 2, " b ": 1, "": 5}) == {"b": 3, "a": 2}
    assert exports.cell("=1+1") == "'=1+1"
