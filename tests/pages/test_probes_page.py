"""The Probes page: numbers with their intervals, a pass by button, and a person's word about a detector."""

from __future__ import annotations

import sqlalchemy as sa

from store import alerts, audit, labels
from store import monitors as monitor_rows
from store.tables import commands, ticks
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def test_rates_stand_with_interval_count_and_what_could_not_be_scored(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "probes")
    told = texts(page)
    assert not page.exception
    assert "Attacks that got through" in told and "28.0 %" in told and "n = 25" in told
    assert "Harmless requests refused" in told and "n = 44" in told
    assert "2 of the 25 attacks of the last pass could not be scored. They count as neither." in told
    assert "248 prompts, about 5 min" in "".join(button.label for button in page.button)
    assert "24 prompts, about 33 s" in "".join(button.label for button in page.button)
    (table,) = [frame.value for frame in page.dataframe if "Suite and technique" in frame.value]
    cell = table[(table["Suite and technique"] == "injection/tool_result") & (table["Version"] == "assistant-base")]
    assert cell["Share, interval and n"].item().startswith("50.0 % (6.8 to 93.2 %, n = 4)")


def test_a_pass_is_asked_for_once_and_shows_that_it_waits(filled: World, open_page: Open) -> None:
    page = open_page(filled, "probes", name="otto")
    page.button(key="run-full-adversarial").click().run()
    assert not page.exception
    assert page.button(key="run-full-adversarial").disabled
    assert "A pass asked for by otto waits for the scheduler" in texts(page)
    with filled.store.read() as tx:
        (row,) = tx.all(sa.select(commands).where(commands.c.kind == "run_suite"))
    assert row["args"] == {"monitor": "adversarial", "pass": "full"}


def test_a_person_overrules_a_detector_and_labels_what_is_drawn(filled: World, open_page: Open) -> None:
    page = open_page(filled, "probes", name="otto")
    assert "otto says that the detector is wrong here." in texts(page)
    wrong = next(button for button in page.button if button.key.startswith("wrong-"))
    uuid = wrong.key.removeprefix("wrong-adversarial-")
    wrong.click().run()
    assert not page.exception
    drawn = next(button for button in page.button if button.key.startswith("drawn-True-"))
    shown = drawn.key.removeprefix("drawn-True-adversarial-")
    drawn.click().run()
    assert not page.exception
    with filled.store.read() as tx:
        found = labels.of(tx, [uuid, shown])
        assert (found[uuid]["truth"], found[uuid]["drawn"], found[uuid]["actor"]) == (False, False, "otto")
        assert found[shown]["truth"] and found[shown]["drawn"]
        assert labels.counts(tx, "refusal").positives == 1
        assert audit.verify(tx).bad is None
    assert shown not in "".join(str(button.key) for button in page.button)


def test_a_viewer_labels_and_runs_nothing(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "probes", name="vera")
    assert [button.label for button in page.button if not button.disabled and button.key != "sign-out"] == []


def test_a_pass_that_failed_says_why(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        monitor = monitor_rows.get(tx, "adversarial")
        values = {"claimed_by": "m", "lease_until": tx.now, "fence": 1, "started_at": tx.now, "finished_at": tx.now}
        message = "The run took longer than 1800 seconds and was given up."
        tx.insert(ticks, monitor_id=monitor["id"], scheduled_for=tx.now, state="failed", message=message, **values)
    told = texts(open_page(filled, "probes"))
    assert "The last pass failed: The run took longer than 1800 seconds" in told
    assert "Attacks that got through" in told


def test_a_monitor_that_never_asked_offers_a_pass(empty: World, open_page: Open) -> None:
    with empty.store.write(empty.now) as tx:
        values = {"enabled": True, "every_seconds": 60.0, "rule": {}, "params": {}, "plan": {}}
        monitor_rows.ensure(tx, name="adversarial", metric="adversarial", title="", **values)
    page = open_page(empty, "probes", name="otto")
    assert "Nothing has been asked yet" in texts(page)
    assert "time not known yet" in page.button(key="run-quick-adversarial").label


def test_an_alert_that_returned_leads_to_the_one_that_was_resolved(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        monitor = monitor_rows.get(tx, "adversarial")["id"]
        for breach in (True, False, True):
            finding = alerts.Finding(
                "adversarial", "rule", breach, "An attack gets through.", monitor_id=monitor, why={"value": 0.5}
            )
            alerts.apply(tx, finding)
        again = alerts.open_alert(tx, finding.fingerprint)
        assert again is not None
    page = open_page(filled, "alerts", alert=again["uuid"])
    assert not page.exception
    assert f"It has returned: an alert like this one was resolved at {filled.now:%Y-%m-%dT%H:%M:%S}." in texts(page)
