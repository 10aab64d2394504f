"""The Traffic page: the map and its topics, the search, the drawer of one exchange, and what people do there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from core.types import Inference
from dashboard import maps
from dashboard.views import topic_map
from store import audit, commands, feedback, inferences, labelling
from store.queries import traffic as queries
from store.tables import commands as command_table
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def columns(page: AppTest, *names: str) -> list[Any]:
    """The tables of a page that have these columns."""
    return [frame.value for frame in page.dataframe if set(names) <= set(frame.value.columns)]


def test_topics_stand_with_shares_intervals_and_counts(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "traffic")
    assert not page.exception
    told = texts(page)
    assert "100 opening exchanges beside 100 of the reference of prompt_drift" in told
    (topics,) = columns(page, "Topic", "Corrected for all")
    assert topics["Topic"][0] == "points loyalty refund"
    assert topics["Now"][0] == "31.0 % (24.8 to 38.8 %, n = 100)"
    assert topics["Difference"][0] == "+29.0 points (19.0 to 39.0 points, n = 100)"
    assert list(topics["Corrected for all"]) == ["significant", *["within chance"] * 4]
    (rows,) = columns(page, "Prompt", "Answer", "People said")
    assert len(rows) == queries.PAGE and rows["At"].is_monotonic_decreasing


def test_a_topic_lists_its_exchanges(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "traffic", topic="0")
    assert not page.exception and "Of the topic points loyalty refund" in texts(page)
    (rows,) = columns(page, "Prompt", "People said")
    assert set(rows["Prompt"]) == {"How many loyalty points do I get for a refund?"} and len(rows) == 20


@pytest.mark.parametrize("topic", ["99", "-1", "x", "1" * 30])
def test_a_topic_that_is_not_there_is_no_topic(filled_folder: World, open_page: Open, topic: str) -> None:
    page = open_page(filled_folder, "traffic", topic=topic)
    assert not page.exception and "Of the topic" not in texts(page)


def test_the_search_finds_by_words_version_segment_and_time(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "traffic", words="REFUND")
    (rows,) = columns(page, "Prompt", "People said")
    assert len(rows) == 40 and set(rows["Prompt"]) == {"How many loyalty points do I get for a refund?"}
    for filters in ({"version": "assistant-v2"}, {"label": "channel=mail"}, {"words": "zebra"}):
        page = open_page(filled_folder, "traffic", **filters)
        assert not page.exception and "No exchange matches here." in texts(page)
        assert not columns(page, "Prompt", "People said")
    page = open_page(filled_folder, "traffic", label="channel=web", since="1 hour")
    (rows,) = columns(page, "Prompt", "People said")
    assert 5 <= len(rows) <= 11
    page = open_page(filled_folder, "traffic", version="<img src=x>", since="yesterday", before="x")
    assert not page.exception


def test_the_form_puts_the_search_into_the_address(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "traffic")
    page.text_input(key="words").set_value("parcel")
    page.text_input(key="label").set_value("channel=web")
    next(button for button in page.button if button.label == "Search").click().run()
    assert not page.exception
    assert page.query_params["words"] in ("parcel", ["parcel"])
    (rows,) = columns(page, "Prompt", "People said")
    assert set(rows["Prompt"]) == {"Where is my parcel? It was due on Tuesday."}


def test_without_a_map_the_exchanges_are_there_and_a_map_can_be_asked_for(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        tx.execute(sa.delete(command_table).where(command_table.c.kind == "topic_map"))
    page = open_page(filled, "traffic", name="otto")
    assert "No map has been drawn yet" in texts(page) and columns(page, "Prompt", "People said")
    page.button(key="map-do").click().run()
    assert not page.exception and "Waiting for the monitor scheduler." in texts(page)
    with filled.store.write(filled.now) as tx:
        row = commands.claim(tx, "monitors", "m", 60.0, kinds=("topic_map",))
        assert row is not None and row["args"] == {"rows": 1000}
        commands.fail(tx, row["id"], "12 more exchanges are needed in the reference. Wait for traffic.")
    page.run()
    assert "12 more exchanges are needed in the reference." in texts(page)


def test_an_exchange_opens_with_all_that_is_known_of_it(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "traffic", exchange=filled_folder.rows[2])
    assert not page.exception
    told = texts(page)
    assert "I cannot help with that." in told and "Not what I asked." in told and "points loyalty refund" in told
    (near,) = (
        columns(page, "Prompt", "Answer", "Version")[:1]
        if not columns(page, "People said")
        else [frame for frame in columns(page, "Prompt", "Answer", "Version") if "People said" not in frame]
    )
    assert len(near) == 4
    now = open_page(filled_folder, "traffic", exchange=filled_folder.rows[150])
    assert "p = " in texts(now) and "of its prompts stand as far from the others" in texts(now)
    gone = open_page(filled_folder, "traffic", exchange="another")
    assert not gone.exception and "There is no such exchange" in texts(gone)


def test_a_better_answer_becomes_a_preference_of_the_one_who_wrote_it(filled: World, open_page: Open) -> None:
    uuid = filled.rows[7]
    page = open_page(filled, "traffic", name="otto", exchange=uuid)
    assert "Waits to be labelled; queued by otto." in texts(page)
    page.text_area(key="better").set_value("You get the points of the order back within a day.")
    next(button for button in page.button if button.label == "Save the better answer").click().run()
    assert not page.exception
    with filled.store.read() as tx:
        row = inferences.by_uuid(tx, uuid)
        assert feedback.preferred(tx, [row.id]) == frozenset({row.id})
        assert queries.queue_size(tx) == 1 and audit.verify(tx).bad is None
    assert "Better: You get the points of the order back within a day." in texts(page)


def test_the_better_of_two_answers_is_chosen(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        old = inferences.by_uuid(tx, filled.rows[2])
        other = Inference(
            "other", tx.now, "assistant", "assistant-v2", "live", old.messages, old.prompt, "You get them all back."
        )
        inferences.record(tx, [other])
    page = open_page(filled, "traffic", name="otto", exchange=filled.rows[2])
    assert "Another answer to the same, by assistant-v2" in texts(page)
    next(button for button in page.button if button.label == "This one is better").click().run()
    assert not page.exception
    with filled.store.read() as tx:
        (told,) = [item for item in feedback.after(tx, 0, 1000) if item.kind == "choice"]
    assert (told.chosen, told.rejected, told.inference) == (
        "You get them all back.",
        "I cannot help with that.",
        filled.rows[2],
    )


def test_an_exchange_is_queued_and_left_out_with_a_reason(filled: World, open_page: Open) -> None:
    uuid = filled.rows[20]
    page = open_page(filled, "traffic", name="otto", exchange=uuid)
    page.button(key="exchange-queue").click().run()
    page.button(key="exclude-do").click().run()
    assert "Leaving something out needs a reason." in texts(page)
    page.text_input(key="exclude-why").set_value("A load test.")
    page.button(key="exclude-do").click().run()
    assert not page.exception
    with filled.store.read() as tx:
        assert {row["kind"]: row["reason"] for row in labelling.marks_of(tx, uuid)} == {
            "label": "",
            "exclude": "A load test.",
        }
    page.button(key="include-do").click().run()
    page.button(key="exchange-queue").click().run()
    with filled.store.read() as tx:
        assert labelling.marks_of(tx, uuid) == [] and audit.verify(tx).bad is None


def test_an_alert_leads_to_the_answers_that_would_mend_it_and_they_are_queued_together(
    filled: World, open_page: Open
) -> None:
    page = open_page(filled, "traffic", name="otto", alert=filled.alert)
    assert "To label because of an alert" in texts(page)
    (rows,) = columns(page, "Prompt", "People said")
    assert len(rows) == 3
    page.button(key="queue-alert").click().run()
    assert not page.exception
    with filled.store.read() as tx:
        assert queries.queue_size(tx) == 5
    page = open_page(filled, "traffic", name="otto", show="queue")
    (rows,) = columns(page, "Prompt", "People said")
    assert len(rows) == 5
    page = open_page(filled, "traffic", alert="another")
    assert not page.exception and "This alert names no answers to label" in texts(page)


def test_a_viewer_changes_and_saves_nothing(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "traffic", name="vera", exchange=filled_folder.rows[2])
    kept = {button.label for button in page.button if not button.disabled and button.key != "sign-out"}
    assert kept == {"Search"}
    assert not page.get("download_button")


def test_a_map_of_points_is_two_traces_of_numbers_and_a_lasso_tells_keys() -> None:
    points = {"id": [11, 12, 13, 14], "now": [0, 1, 0, 1], "x": [1, 2, 3, 4], "y": [5, 6, 7, 8], "topic": [0, 0, -1, 1]}
    figure = maps.topic_map(points, chosen=0)
    assert [trace["x"] for trace in figure["data"]] == [[1, 3], [2, 4]]
    assert [trace["marker"]["color"][0] for trace in figure["data"]] == ["#c77d1a", "#c77d1a"]
    assert isinstance(maps.topic_map(points)["data"][0]["marker"]["color"], str)
    drawn = topic_map.Drawn({"points": points, "topics": [{"examples": [14]}, {"examples": []}]})
    chosen = {
        "selection": {"points": [{"curve_number": c, "point_index": i} for c, i in ((0, 1), (1, 0), (7, 0), (1, 9))]}
    }
    assert topic_map.lassoed(drawn, chosen) == [12, 13] and topic_map.lassoed(drawn, None) == []
    assert drawn.of_topic(0) == [14, 12] and drawn.of_topic(1) == [14]
    assert drawn.place(13) == 2 and drawn.place(99) is None


def test_how_far_back_a_search_looked_is_said(
    filled_folder: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SCANNED", 50)
    page = open_page(filled_folder, "traffic", words="refund")
    assert re.search(r"Searched back to 2026-11-20 \d\d:\d\d:\d\d UTC: 50 exchanges\.", texts(page))
