"""The journey over the traffic in a real browser: from an alert to what mends it, the map, the drawer, a better answer.

The monitors' process is not running here: the test carries its part out with its own code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from store import audit, feedback, inferences
from store.queries import traffic as queries
from tests.browser.conftest import Served, Visitor
from tests.browser.test_console_changes import obey_monitors

pytestmark = pytest.mark.browser
Visit = Callable[..., Visitor]


def choose_row(page: Any, alt: str, place: int) -> None:
    """Tick a row of a table, which is a canvas: its box stands at the left, each row is 35 points high."""
    table = page.get_by_label(alt, exact=True).last
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 35 * (place + 1) + 18)


def test_from_an_alert_over_the_map_to_a_better_answer(console: Served, visit: Visit) -> None:
    world = console.world
    me = visit(console.url)
    me.sign_in("otto")
    me.open(f"alerts?alert={world.alert}")
    me.page.get_by_role("link", name="Label them").click()
    me.page.get_by_role("button", name="Queue 3 exchanges for labelling").click()
    me.page.get_by_text("They wait to be labelled.").wait_for()
    me.settle()
    me.page.get_by_role("link", name="All traffic").click()
    me.page.get_by_role("link", name="Waiting to be labelled (5)").wait_for()
    # The map is drawn anew, and a lasso lists what is inside.
    me.page.get_by_role("button", name="Draw it anew").click()
    me.page.get_by_text("Waiting for the monitor scheduler.").wait_for()
    obey_monitors(console)
    # One of the reference's hundred is left out.
    me.page.get_by_text("100 opening exchanges beside 99 of the reference of prompt_drift").wait_for()
    me.settle()
    plot = me.page.locator(".js-plotly-plot .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.03)]
    me.page.mouse.move(box["x"] + box["width"] * corners[0][0], box["y"] + box["height"] * corners[0][1])
    me.page.mouse.down()
    for x, y in corners[1:]:
        me.page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=8)
    me.page.mouse.up()
    me.page.get_by_text("The first 50 of").wait_for()
    # A row opens in the drawer, where it gets a better answer.
    me.open("traffic?words=shoes")
    choose_row(me.page, "Captured exchanges", 1)
    drawer = me.page.get_by_role("dialog")
    drawer.get_by_text("Can I return shoes that I wore once?").first.wait_for()
    uuid = me.page.url.split("exchange=")[1].split("&")[0]
    drawer.get_by_label("A better answer").fill("Yes, within 30 days, if they look unworn.")
    drawer.get_by_role("button", name="Save the better answer").click()
    me.page.get_by_text("Better: Yes, within 30 days, if they look unworn.").wait_for()
    drawer.get_by_role("button", name="Close").click()
    drawer.wait_for(state="detached")
    me.page.wait_for_url(lambda url: "exchange=" not in url)
    with world.store.read() as tx:
        row = inferences.by_uuid(tx, uuid)
        assert feedback.preferred(tx, [row.id]) == frozenset({row.id})
        assert queries.queue_size(tx) == 5 and audit.verify(tx).bad is None
    assert not me.errors and not me.foreign
