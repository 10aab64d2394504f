"""A number that may go both ways: the monitor's page, its chart and the alert's page say which way it went."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from core.types import Estimate, Measurement
from monitors import verdict
from store import alerts
from store import monitors as monitor_rows
from store.tables import measurements
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts

CHANGE = {
    "value": -112.0,
    "low": -120.0,
    "high": -104.0,
    "now": {"value": 90.0, "low": 86.0, "high": 94.0, "n": 51},
    "reference": {"value": 202.0, "low": 195.0, "high": 208.0, "n": 200},
    "together": False,
}
COMPARED = "112 characters shorter than the reference's 202 characters (by 104 to 120 characters)"


def look(world: World, change: dict[str, Any]) -> None:
    """Let the last look of response_length have found `change`."""
    with world.store.write(world.now) as tx:
        id = monitor_rows.get(tx, "response_length")["id"]
        last = sa.select(sa.func.max(measurements.c.id)).where(measurements.c.monitor_id == id).scalar_subquery()
        tx.execute(measurements.update().where(measurements.c.id == last).values(details={"change": change}))


@pytest.mark.parametrize("firing", [True, False])
def test_a_monitors_page_says_which_way_and_draws_the_reference(filled: World, open_page: Open, firing: bool) -> None:
    before = open_page(filled, "monitors", monitor="response_length")
    assert "reference" not in drawn(before) and "shorter" not in texts(before)
    look(filled, {**CHANGE, "since_onset": firing})
    page = open_page(filled, "monitors", monitor="response_length")
    assert not page.exception
    told = f"Since the change 90 characters, {COMPARED}" if firing else COMPARED
    assert told in texts(page).splitlines()
    assert ">reference<" in drawn(page) and "shorter than the reference" in drawn(page), "for who sees it or hears it"
    assert "what the running epoch compares with" in texts(page)


def test_an_alerts_page_says_which_way(filled: World, open_page: Open) -> None:
    details = {"change": {**CHANGE, "since_onset": True}}
    said = "Answers are shorter than in the reference."
    found = Measurement("response_length", Estimate(95.0, 86.0, 202.0, 200, ""), "breach", reason=said, details=details)
    with filled.store.write(filled.now) as tx:
        monitor = monitor_rows.get(tx, "response_length")
        for finding in verdict.findings(monitor, [found]):
            if finding.kind == "rule":
                alerts.apply(tx, finding)
        (row,) = alerts.open_alerts(tx, "response_length")
    told = texts(open_page(filled, "alerts", alert=row["uuid"]))
    assert (
        f"{said} Response length since the change is 90 characters (86 to 94 characters, n = 51), {COMPARED}." in told
    )
    assert COMPARED in told.splitlines()


def drawn(page: Any) -> str:
    """The page's figures."""
    return "\n".join(str(element.proto.body) for element in page.get("html"))
