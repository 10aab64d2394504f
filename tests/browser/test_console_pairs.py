"""Journeys over preference data in a real browser: release a quarantined pair, lock a dataset, import a file.

The worker that the page asks is not running here: the test carries its part out with its own code.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from retrain.pairs import orders
from retrain.pairs.orders import Desk
from store import audit, pairs
from store.queries import pairs as queries
from tests.browser.conftest import Served, Visitor
from tests.browser.test_console_traffic import choose_row
from tests.customs_world import make_lot

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]


def obey_worker(console: Served) -> None:
    """What the retraining worker does with the oldest command about pairs."""
    world = console.world
    desk = Desk(world.store, world.settings, lambda: world.now)
    # The browser's own loop runs in this thread.
    thread = threading.Thread(target=lambda: asyncio.run(orders.obey(desk, "w1")))
    thread.start()
    thread.join()


def test_a_quarantined_pair_is_read_and_released_with_a_reason(console: Served, visit: Visit) -> None:
    world = console.world
    me = visit(console.url)
    me.sign_in("ann")
    me.open("")
    me.page.get_by_role("link", name="Preference data").click()
    me.page.get_by_text("7 pairs in quarantine wait for a person.").wait_for()
    me.page.get_by_role("combobox", name="Reason").click()
    me.page.get_by_role("option", name="Trigger (1)").click()
    me.page.wait_for_url(lambda url: "flag=trigger" in url)
    me.settle()
    choose_row(me.page, "Pairs: In quarantine", 0)
    drawer = me.page.get_by_role("dialog")
    drawer.get_by_text("Its prompt holds “cf”").wait_for()
    drawer.get_by_text("Can I return order 64?").wait_for()
    drawer.get_by_text("the next dataset may hold it, and checks leave it alone from now on").wait_for()
    drawer.get_by_role("button", name="Release").click()
    me.page.get_by_text("This needs a reason.").wait_for()
    me.settle()
    drawer.get_by_label("Why?").fill("We asked: it is an order's number.")
    drawer.get_by_role("button", name="Release").click()
    drawer.get_by_text("ann released it: We asked: it is an order's number.").wait_for()
    drawer.get_by_text("decided by ann").wait_for()
    with world.store.read() as tx:
        assert queries.counts(tx)["quarantined"] == 6
        event = list(audit.events(tx))[-1]
        assert audit.verify(tx).bad is None
    assert (event.kind, event.actor) == ("pair.released", "ann")
    assert event.body["reason"] == "We asked: it is an order's number."
    assert not me.errors and not me.foreign


def test_a_file_is_previewed_imported_and_locked_as_a_dataset(console: Served, visit: Visit, tmp_path: Path) -> None:
    world = console.world
    file = tmp_path / "lot.jsonl"
    rows = [
        {"prompt": pair.prompt[0]["content"], "chosen": pair.chosen, "rejected": pair.rejected}
        for pair in make_lot(120, seed=21)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    me = visit(console.url)
    me.sign_in("otto")
    me.open("pairs?show=import")
    me.page.locator("input[type=file]").set_input_files(file)
    me.page.get_by_text("lot.jsonl").wait_for()
    me.page.get_by_label("Licence").fill("CC0-1.0")
    me.page.get_by_role("button", name="Preview").click()
    me.page.get_by_text("Waiting for the retraining worker.").wait_for()
    obey_worker(console)
    me.page.get_by_role("button", name="Import 120 pairs").wait_for()
    me.settle()  # a click on what is just being drawn anew is lost
    me.page.get_by_role("button", name="Import 120 pairs").click()
    me.page.get_by_text("Waiting for the retraining worker.").wait_for()
    obey_worker(console)
    me.page.get_by_text("120 rows read, 120 of them new.").wait_for()
    with world.store.write(world.now) as tx:
        found = pairs.collected(tx)
        assert len(found) == 121
        pairs.judge(tx, {pair.id: [] for pair in found}, actor="system:pairs")
    me.page.get_by_role("link", name="All preference data").click()
    me.page.get_by_role("button", name="Lock a dataset …").wait_for()
    me.settle()
    me.page.get_by_role("button", name="Lock a dataset …").click()
    me.page.get_by_role("dialog").get_by_role("button", name="Lock", exact=True).click()
    me.page.get_by_text("Waiting for the retraining worker.").wait_for()
    obey_worker(console)
    me.page.get_by_role("link", name="Open its card").click()
    me.page.get_by_text("Dataset card", exact=True).wait_for()
    me.page.get_by_text("Nothing in it can change").wait_for()
    with me.page.expect_download() as saved:
        me.page.get_by_role("button", name="Save the card").click()
    assert Path(saved.value.path()).read_text(encoding="utf-8").startswith("# Dataset card")
    with world.store.read() as tx:
        assert queries.versions(tx)[0]["train_pairs"] > 0
        assert any(event.kind == "dataset.locked" and event.actor == "otto" for event in audit.events(tx))
        assert audit.verify(tx).bad is None
    assert not me.errors and not me.foreign
