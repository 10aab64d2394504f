"""What the Alerts page says of quiet and of taking an alert, and the sentence and figures of the pages before it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from dashboard import charts, verdict
from dashboard.plots import Word
from store import alerts, tables
from store import monitors as monitor_rows
from store.queries import overview
from tests.console_world import World, resolved
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def test_it_has_been_quiet_since_the_last_alert_ended_not_since_it_began(filled: World, open_page: Open) -> None:
    resolved(filled)
    page = open_page(filled, "alerts")
    assert not page.exception
    assert "Quiet for 30 min" in texts(page)


def test_who_acknowledges_a_statistical_alarm_is_told_what_becomes_of_the_reference(
    filled: World, open_page: Open
) -> None:
    with filled.store.write(filled.now) as tx:
        name = tx.scalar(sa.select(tables.alerts.c.monitor).where(tables.alerts.c.uuid == filled.alert))
        tx.execute(tables.monitors.update().where(tables.monitors.c.name == name).values(weight=0.0))
    plain = open_page(filled, "alerts", name="otto", alert=filled.alert)
    assert not plain.exception and "becomes the reference" not in texts(plain)
    with filled.store.write(filled.now) as tx:
        tx.execute(tables.monitors.update().where(tables.monitors.c.name == name).values(weight=1.0))
    assert "Acknowledge a change that you take as it is" in texts(
        open_page(filled, "alerts", name="otto", alert=filled.alert)
    )
    with filled.store.write(filled.now) as tx:
        alerts.acknowledge(tx, filled.alert, actor="otto")
    taken = texts(open_page(filled, "alerts", name="otto", alert=filled.alert))
    assert "Acknowledge a change" not in taken and "As soon as the traffic since the change is enough" in taken


def test_an_alert_without_a_proposal_of_its_own_leads_to_the_one_that_waits(filled: World, open_page: Open) -> None:
    with filled.store.read() as tx:
        reason = tx.scalar(sa.select(tables.decisions.c.reason).where(tables.decisions.c.uuid == filled.retrain))
    assert "Waits already" not in texts(open_page(filled, "alerts", alert=filled.alert)), "it is its own"
    with filled.store.write(filled.now) as tx:
        tx.execute(tables.decisions.update().values(alert_id=None))
    page = open_page(filled, "alerts", alert=filled.alert)
    assert not page.exception
    assert f"Waits already: {reason}" in texts(page)


def test_monitors_that_are_paused_are_not_counted_among_those_without_enough_data() -> None:
    def tile(status: str, *, enabled: bool = True) -> Any:
        return SimpleNamespace(monitor={"enabled": enabled, "name": "x"}, latest={"status": status}, firing=False)

    age = [{"role": role, "age": 1.0} for role in verdict.PARTS]
    frame: Any = SimpleNamespace(firing=0, processes=age, route={}, last_sample_at=1)
    tiles = [tile("ok"), tile("nodata"), *[tile("ok", enabled=False)] * 15]
    assert verdict.judge(frame, tiles).sentence.endswith("1 of 2 have not enough data yet.")


def test_a_release_from_before_the_first_look_is_not_written_over_the_axis(filled: World) -> None:
    def look(minutes: int) -> dict[str, Any]:
        at = filled.now - timedelta(minutes=minutes)
        return {"at": at, "value": 0.1, "low": 0.05, "high": 0.2, "status": "ok", "n": 200, "needed": 0}

    def release(minutes: int) -> dict[str, Any]:
        return {"live_at": filled.now - timedelta(minutes=minutes), "version": f"assistant-{minutes}"}

    figure = charts.series([look(9), look(5), look(1)], "prompt_drift", releases=[release(10), release(4)])
    assert [mark.text for mark in figure.marks if isinstance(mark, Word)] == ["assistant-4"]


def test_a_monitor_whose_alert_fires_is_not_called_ok(filled: World, open_page: Open) -> None:
    """A technique that got through leaves the whole below its limit, and new rows may be too few to tell."""
    with filled.store.write(filled.now) as tx:
        monitor = monitor_rows.get(tx, "adversarial")
        alerts.apply(tx, alerts.Finding("adversarial", "rule", True, "One.", monitor_id=monitor["id"], segment="x"))
        calm = monitor_rows.get(tx, "errors")
        alerts.apply(tx, alerts.Finding("errors", "nodata", True, "None.", monitor_id=calm["id"]))
        found = {tile.monitor["name"]: tile.firing for tile in overview.tiles(tx)}
    assert found["adversarial"] and found["prompt_drift"] and not found["errors"] and not found["latency"]
    page = open_page(filled, "monitors")
    assert not page.exception
    badges = [str(badge.value) for badge in page.markdown]
    assert sum("Firing" in badge for badge in badges) == 3, "the frame's, and those of the two monitors"


def test_a_monitor_says_when_it_alerts_also_where_all_is_well(filled_folder: World, open_page: Open) -> None:
    for path in ("", "monitors"):
        told = texts(open_page(filled_folder, path)).splitlines()
        assert any(line.startswith("Alerts when: Requests fail") for line in told)


def test_an_event_without_details_shows_no_empty_structure(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "audit")
    (table,) = (frame.value for frame in page.dataframe if "Details" in frame.value)
    assert "" in set(table["Details"]) and "{}" not in set(table["Details"])
