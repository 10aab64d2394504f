"""Exporting evidence from the Audit page: asked for by an operator, saved when the monitors have written it."""

from __future__ import annotations

import asyncio
import zipfile
from datetime import date, timedelta

from streamlit.testing.v1 import AppTest

from monitors import orders
from store import commands
from store.evidence import verify
from store.queries import commands as queries
from tests.console_world import World
from tests.monitors_world import World as Watched
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def open_section(world: World, open_page: Open, name: str = "otto") -> AppTest:
    page = open_page(world, "audit", name=name)
    page.session_state["evidence-open"] = True
    return page.run()


def obey(world: World) -> str:
    """What the monitors' process does with the oldest long command."""
    effects = Watched(world.store, world.settings, world.now).effects
    return asyncio.run(orders.obey(effects, "m1", orders.LONG))


def saves(page: AppTest) -> list[str]:
    return [str(button.proto.label) for button in page.get("download_button")]


def test_an_operator_exports_and_finds_the_archive(filled: World, open_page: Open) -> None:
    page = open_section(filled, open_page)
    assert not page.exception and "Nothing was exported yet." in texts(page)
    page.button(key="evidence-do").click().run()
    assert "Waiting for the monitor scheduler." in texts(page)
    assert obey(filled) == "export_evidence done for otto"
    page.run()
    told = texts(page)
    assert not page.exception and "asked by otto" in told and "events of the chain" in told
    assert any(label.startswith("Save the archive") for label in saves(page))
    (path,) = (filled.settings.home / "evidence").iterdir()
    with filled.store.read() as tx:
        found = queries.result(tx, queries.recent(tx, "export_evidence", {})[0]["uuid"])
    assert found["digest"] in told and verify.check_export(path, found["digest"]) == []
    with zipfile.ZipFile(path) as archive:
        assert b"by otto" in archive.read("report.html")
    path.unlink()
    page.run()
    assert not page.exception and "is not here" in texts(page) and saves(page) == ["Save as CSV"]


def test_days_that_end_before_they_begin_are_refused(filled: World, open_page: Open) -> None:
    page = open_section(filled, open_page)
    page.date_input(key="evidence-last").set_value(date(2026, 1, 1)).run()
    page.button(key="evidence-do").click().run()
    assert "The last day is before the first." in texts(page)
    with filled.store.read() as tx:
        assert queries.recent(tx, "export_evidence", {}) == []


def test_a_viewer_cannot_export(filled: World, open_page: Open) -> None:
    page = open_section(filled, open_page, "vera")
    assert page.button(key="evidence-do").disabled and "An operator can export." in texts(page)
    with filled.store.write(filled.now) as tx:
        args = {"since": (filled.now - timedelta(days=1)).isoformat(), "until": filled.now.isoformat()}
        commands.ask(tx, "export_evidence", owner="monitors", args=args, actor="otto")
    obey(filled)
    page.run()
    assert not page.exception and "asked by otto" in texts(page) and saves(page) == []


def test_an_export_without_a_period_fails_in_a_sentence(filled: World) -> None:
    with filled.store.write(filled.now) as tx:
        commands.ask(tx, "export_evidence", owner="monitors", args={"since": "x"}, actor="otto")
    assert "The period cannot be read." in obey(filled)
