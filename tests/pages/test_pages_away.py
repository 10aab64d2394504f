"""A store that goes away while somebody works: what was typed stays, and the page looks again by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from core.errors import Unavailable
from core.rules import Threshold
from dashboard import pages, show
from dashboard.console import Console
from dashboard.views import again, limit, models, trial
from store import alerts, trials, versions
from store import monitors as monitor_rows
from store.alerts import Finding
from store.queries import models as queries
from store.unit_of_work import Store
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts
from tests.pages.test_pages_trial import begin

WORDS = "The database does not answer."
TYPED = "It is Monday, and the sale is over."
Switch = Callable[[bool], None]


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Switch:
    """A function that takes the store away, and brings it back."""
    real = Store._transaction

    def away(*_: object) -> None:
        raise Unavailable(WORDS, "Check that it runs.")

    return lambda gone: monkeypatch.setattr(Store, "_transaction", away if gone else real)


def typed(page: AppTest, key: str) -> Any:
    return next(field for field in (*page.text_input, *page.text_area) if field.key == key)


def dialog(name: str, world: World) -> Callable[[Console], None]:
    """What a dialog draws, as a page of its own: tests without a browser run the whole page at each click."""
    drawn: Any
    if name == "again":
        with world.store.read() as tx:
            report = queries.gate(tx, versions.get(tx, "assistant-v2").id)
        drawn, given = again.ask, ("assistant-v2", report)
    elif name == "trial":
        begin(world)
        with world.store.read() as tx:
            (row,) = trials.running(tx)
        drawn, given = trial.decide, ("abort", row["uuid"], "assistant-v2", "abort")
    elif name == "limit":
        old, new = (Threshold("above", at, timedelta(0)) for at in (20_000.0, 30_000.0))
        with world.store.write(world.now) as tx:
            found = Finding("latency", "rule", True, "Slow.", monitor_id=monitor_rows.get(tx, "latency")["id"])
            alerts.apply(tx, found)
            shown = monitor_rows.get(tx, "latency")["revision"]
        drawn, given = limit.confirm, (limit.Change("latency", shown, "latency_p95_ms", old, new),)
    else:
        route = {"version": "assistant-v1", "previous": "assistant-base", "trial": ""}
        drawn, given = models.go_back, (route, ["assistant-base"], [])
    return lambda console: drawn.__wrapped__(console, *given)


@pytest.mark.parametrize("name", ["again", "trial", "back", "limit"])
def test_a_dialog_ends_only_when_its_act_was_done_and_else_says_why_not(
    filled: World, open_page: Open, switch: Switch, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """To run the page again ends a dialog, and what was typed into it is gone."""
    ended: list[bool] = []
    rerun = st.rerun

    def end() -> None:
        ended.append(True)
        rerun()

    monkeypatch.setattr(st, "rerun", end)
    monkeypatch.setattr(models, "everything", dialog(name, filled))
    page = open_page(filled, "models", name="bea")
    typed(page, f"{name}-why").input(TYPED).run()
    switch(True)
    page.button(key=f"{name}-do").click().run()
    assert not page.exception and not ended
    assert f"{WORDS} Check that it runs." in texts(page) and "Not done" in texts(page)
    assert typed(page, f"{name}-why").value == TYPED
    switch(False)
    page.button(key=f"{name}-do").click().run()
    assert not page.exception and ended == [True]
    assert "Not done" not in texts(page) and "Done" in texts(page)


def test_a_dialog_that_somebody_else_has_overtaken_ends(
    filled: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does one that was clicked twice: its second click finds the first one's act done."""
    monkeypatch.setattr(models, "everything", dialog("trial", filled))
    page = open_page(filled, "models", name="bea")
    typed(page, "trial-why").input(TYPED).run()
    with filled.store.write(filled.now) as tx:
        (row,) = trials.running(tx)
        trials.abort(tx, row["uuid"], actor="ann", reason="It is rude.")
    ended: list[bool] = []
    monkeypatch.setattr(st, "rerun", lambda: ended.append(True))
    page.button(key="trial-do").click().run()
    assert ended == [True]


def test_a_comment_that_could_not_be_kept_stays_in_its_field(filled: World, open_page: Open, switch: Switch) -> None:
    page = open_page(filled, "alerts", name="otto", alert=filled.alert)
    page.text_area[0].input(TYPED)
    switch(True)
    page.button(key="comment-do").click().run()
    assert WORDS in texts(page) and "Last good data" in texts(page)
    assert page.text_area[0].value == TYPED
    switch(False)
    page.button(key="comment-do").click().run()
    assert "Your comment was added." in texts(page)
    assert page.text_area[0].value == ""


def test_a_page_that_was_not_read_before_says_so_beneath_its_banner(
    filled: World, open_page: Open, switch: Switch
) -> None:
    page = open_page(filled, "alerts")
    switch(True)
    for path, told in (("alerts", False), ("runs", True)):
        page._page_hash = calc_hash(path)
        page.run()
        assert not page.exception
        assert ("there is nothing of it to show" in texts(page)) is told


@pytest.mark.parametrize("known", [True, False], ids=["signed in", "nobody can be told"])
def test_a_page_without_its_store_is_drawn_anew_once_that_is_back(
    filled: World, open_page: Open, switch: Switch, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    parts: dict[str, tuple[object, Callable[[], None]]] = {}
    real = st.fragment

    def fragment(*, run_every: object = None, key: str = "") -> Callable[[Callable[[], None]], Any]:
        def keep(work: Callable[[], None]) -> Any:
            parts[key] = (run_every, work)
            return real(key=key)(work)

        return keep

    monkeypatch.setattr(pages.st, "fragment", fragment)
    page = open_page(filled, "audit")
    switch(True)
    if not known:
        del page.session_state["_seen"]
    page.run()
    assert not page.exception and WORDS in texts(page)
    every, work = parts["bar" if known else "look-again"]
    assert every == pages.REFRESH_SECONDS
    again: list[bool] = []
    monkeypatch.setattr(pages.st, "rerun", lambda: again.append(True))

    def bar(console: Console) -> None:
        console.load("a read of its own", lambda tx: 1)

    monkeypatch.setattr(pages, "bar", bar)
    monkeypatch.setattr(pages, "enter", lambda _: filled.store.read().__enter__())
    switch(False)
    work()
    assert again == [True]


def test_the_age_of_old_numbers_grows_while_the_page_stands(
    filled: World, open_page: Open, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Callable[[], None]] = []
    real = st.fragment

    def fragment(*, run_every: object = None, key: str = "") -> Callable[[Callable[[], None]], Any]:
        def keep(work: Callable[[], None]) -> Any:
            if key == "bar":
                drawn.append(work)
            return real(key=key)(work)

        return keep

    monkeypatch.setattr(pages.st, "fragment", fragment)
    open_page(filled, "audit")
    ages: list[timedelta] = []
    monkeypatch.setattr(show, "show_away", lambda error, since, now: ages.append(now - since))
    switch(True)
    filled.now += timedelta(minutes=7)
    drawn[-1]()
    assert ages == [timedelta(minutes=7)]
