"""The Monitors page says where only a part of the traffic is read, and which hours are not judged yet."""

from __future__ import annotations

import sqlalchemy as sa

from core.thinning import Thinning
from dashboard.words import thinned
from store.tables import epochs, measurements
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def test_a_thinned_monitor_says_so_beside_its_value(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        rule = {"thinning": Thinning(40, 7).as_json()}
        told = {"one_in": 40, "unfilled": {"00:00 to 03:00": 100, "03:00 to 06:00": 12}}
        tx.execute(sa.update(epochs).where(epochs.c.monitor_id == 1).values(details=rule))
        tx.execute(sa.update(measurements).where(measurements.c.monitor_id == 1).values(details=told))
    page = open_page(filled, "monitors")
    assert texts(page).count("Reads one conversation in 40") == 1
    page = open_page(filled, "monitors", monitor="prompt_drift")
    assert not page.exception
    assert texts(page).count("Reads one conversation in 40") == 1
    assert "00:00 to 03:00 (100 more needed), 03:00 to 06:00 (12 more needed)" in texts(page)
    (table,) = [found.value for found in page.dataframe if "Of the traffic" in found.value.columns]
    assert set(table["Of the traffic"]) == {"Reads one conversation in 40"}
    assert thinned(1) == "" and thinned(1500) == "Reads one conversation in 1,500"
