"""Journeys of an operator in a real browser: change a firing limit, propose by hand, take a reference, try the past.

The processes that the pages ask are not running here: the test carries their part out with their own code.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from core.settings import RetrainSettings, Settings
from monitors import orders as monitor_orders
from retrain import orders as retrain_orders
from store import alerts, audit, decisions
from store import monitors as rows
from store.tables import decisions as decision_table
from store.tables import epochs
from tests.browser.conftest import Served, Visitor
from tests.monitors_world import World as Watched

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]


def obey_monitors(console: Served) -> None:
    """What the monitors' process does with the oldest command of each lane."""
    world = console.world
    effects = Watched(world.store, world.settings, world.now).effects

    def obey() -> None:
        for kinds in (monitor_orders.SHORT, monitor_orders.LONG):
            asyncio.run(monitor_orders.obey(effects, "p1", kinds))

    # The browser's own loop runs in this thread.
    thread = threading.Thread(target=obey)
    thread.start()
    thread.join()


def test_the_limit_of_a_firing_monitor_is_changed_after_a_confirmation(console: Served, visit: Visit) -> None:
    world = console.world
    with world.store.write(world.now) as tx:
        monitor = rows.get(tx, "errors")
        finding = alerts.Finding("errors", "rule", True, "Requests fail.", monitor_id=monitor["id"])
        assert alerts.apply(tx, finding) == "firing"
    me = visit(console.url)
    me.sign_in("otto")
    me.open("monitors?monitor=errors")
    me.page.get_by_role("button", name="Change the limit …").click()
    me.page.get_by_text("it would not have fired in the last 7 d").wait_for()
    me.page.get_by_label("Limit, in %").fill("5")
    me.page.get_by_label("Limit, in %").press("Enter")
    me.page.get_by_text("With the present limit it would not have fired").wait_for()
    me.page.get_by_role("button", name="Save the limit …").click()
    dialog = me.page.get_by_role("dialog")
    dialog.get_by_text("at most 2.0 % becomes at most 5.0 %").wait_for()
    dialog.get_by_label("Why?").fill("The provider is being moved.")
    dialog.get_by_role("button", name="Change the limit", exact=True).click()
    me.page.get_by_text("The new limit counts from the next look.").wait_for()
    with world.store.read() as tx:
        assert rows.get(tx, "errors")["rule"]["limit"] == pytest.approx(0.05)
        event = list(audit.events(tx))[-1]
        assert audit.verify(tx).bad is None
    assert (event.actor, event.body["reason"]) == ("otto", "The provider is being moved.")
    assert not me.errors and not me.foreign


def test_an_operator_proposes_and_somebody_else_approves(console: Served, visit: Visit) -> None:
    world = console.world
    me = visit(console.url)
    me.sign_in("otto")
    me.open(f"alerts?alert={world.alert}")
    me.page.get_by_role("button", name="Propose …").click()
    dialog = me.page.get_by_role("dialog")
    dialog.get_by_text("A rollback", exact=True).click()
    dialog.get_by_text("The version before this one answers again.").wait_for()
    dialog.get_by_label("Why?").fill("Customers complain about refusals.")
    dialog.get_by_role("button", name="Propose", exact=True).click()
    me.page.get_by_text("Waiting for the retraining worker.").wait_for()
    settings = Settings(home=world.settings.home, models_home=world.settings.models_home, retrain=RetrainSettings())
    with world.store.write(world.now) as tx:
        assert "done for otto" in retrain_orders.obey(tx, settings, "worker")
    me.page.get_by_role("link", name="Open the proposal").click(timeout=15_000)
    me.page.wait_for_url("**/runs?decision=*")
    me.settle()
    me.page.get_by_text("Roll back …").first.wait_for()
    assert "Customers complain about refusals." in me.text()
    assert me.page.get_by_role("button", name="Roll back …").is_disabled()
    with world.store.read() as tx:
        uuid = tx.scalar(sa.select(decision_table.c.uuid).where(decision_table.c.proposer == "otto"))
    ann = visit(console.url)
    ann.sign_in("ann")
    ann.open(f"runs?decision={uuid}")
    ann.page.get_by_role("button", name="Roll back …").click()
    ann.page.get_by_role("dialog").get_by_role("button", name="Roll back", exact=True).click()
    ann.page.get_by_text("The earlier version serves").wait_for()
    with world.store.read() as tx:
        row = decisions.get(tx, uuid)
        assert audit.verify(tx).bad is None
    assert (row["state"], row["decided_by"], row["alert_id"] is not None) == ("executed", "ann", True)


def test_a_reference_is_taken_and_the_past_is_tried(console: Served, visit: Visit) -> None:
    world = console.world
    with world.store.write(world.now) as tx:
        tx.execute(sa.update(epochs).values(seen_id=200))
    me = visit(console.url)
    me.sign_in("otto")
    me.open("monitors?monitor=refusal_rate")
    me.page.get_by_role("button", name="Take a reference …").click()
    me.page.get_by_label("Rows that the monitor has read last").fill("150")
    me.page.get_by_label("Why does the present reference no longer fit?").fill("The shop has moved.")
    me.page.get_by_label("Why does the present reference no longer fit?").press("Enter")
    me.page.get_by_role("button", name="Take as reference").click()
    me.page.get_by_text("Waiting for the monitor scheduler.").wait_for()
    obey_monitors(console)
    me.page.get_by_text("It compares with 150 rows").wait_for(timeout=15_000)
    me.page.get_by_role("button", name="Try on past traffic …").click()
    me.page.get_by_label("Newest rows").fill("200")
    me.page.get_by_label("Of them reference").fill("100")
    me.page.get_by_label("Rows between looks").fill("20")
    me.page.get_by_label("Rows between looks").press("Enter")
    me.page.get_by_role("button", name="Run the backtest").click()
    me.page.get_by_text("Waiting for the monitor scheduler.").wait_for()
    obey_monitors(console)
    me.page.get_by_text("in 5 looks over 200 rows").first.wait_for(timeout=15_000)
    assert not me.errors and not me.foreign
