"""Every page draws over an empty, a filled and an absent store, for every role, without an exception."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from core.errors import Unavailable
from core.settings import CostSettings
from dashboard import installation as installations
from store import heartbeats
from store.tables import runs, versions
from store.unit_of_work import Store
from tests import console_world
from tests.console_world import PEOPLE, World
from tests.pages.conftest import Open

PAGES = {
    "": "Overview",
    "monitors": "Monitors",
    "alerts": "Alerts",
    "traffic": "Traffic",
    "probes": "Probes",
    "fairness": "Fairness",
    "pairs": "Preference data",
    "runs": "Runs",
    "models": "Models",
    "audit": "Audit",
}


def texts(page: AppTest) -> str:
    """Everything a page says as text, the program's words included."""
    parts = [page.text, page.header, page.subheader, page.caption, page.code, page.markdown, page.info]
    return "\n".join(str(element.value) for part in parts for element in part)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_without_any_data_says_what_to_do(empty: World, open_page: Open, path: str) -> None:
    page = open_page(empty, path)
    assert not page.exception
    assert page.header[0].value == PAGES[path]
    told = texts(page)
    assert "Healthy" not in told
    if path != "audit":
        assert "trimtab" in told


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("path", PAGES)
def test_a_filled_page_draws_for_every_role(filled_folder: World, open_page: Open, path: str, name: str) -> None:
    page = open_page(filled_folder, path, name=name)
    assert not page.exception
    assert page.header[0].value == PAGES[path]
    assert f"{name} · {PEOPLE[name]}" in texts(page)


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_a_session(filled_folder: World, open_page: Open, path: str) -> None:
    page = open_page(filled_folder, path, name="")
    assert not page.exception
    assert [header.value for header in page.header] == ["You are signed out"]
    assert "loyalty" not in texts(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_store_that_is_away_is_a_sentence(
    filled_folder: World, open_page: Open, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(filled_folder, path)
    gone = Store.open("sqlite:////nowhere/at/all/trimtab.db")
    monkeypatch.setattr(filled_folder, "sign_in", lambda name: "a token that cannot be looked up")
    world = World(filled_folder.settings, gone, filled_folder.now)
    monkeypatch.setattr(world, "sign_in", lambda name: "a token that cannot be looked up", raising=False)
    page = open_page(world, path)
    assert not page.exception
    assert "The database file cannot be opened." in texts(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_store_that_goes_away_leaves_the_old_numbers_with_a_banner(
    filled: World, open_page: Open, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(filled, path)
    before = texts(page)

    def away(*_: object) -> None:
        raise Unavailable("The database does not answer.", "Check that it runs.")

    monkeypatch.setattr(installations.current().store.__class__, "_transaction", away)
    page.run()
    assert not page.exception
    after = texts(page)
    assert "The database does not answer." in after
    assert "Last good data" in after
    assert page.header[0].value == PAGES[path]
    assert len(after) > 0.6 * len(before)


def test_only_a_run_that_is_not_done_says_at_which_stage_it_is(filled_folder: World, open_page: Open) -> None:
    told = texts(open_page(filled_folder, "runs"))
    assert "Train · for " in told and "Judge · " not in told


def test_the_log_of_a_run_is_sentences(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "runs", run=filled_folder.run)
    lines = page.code[-1].value.splitlines()
    assert "Step 23 of 64: loss" in lines[0]
    assert all("=" not in line and "{" not in line for line in lines)


def test_an_alert_says_what_would_mend_it(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "alerts", alert=filled_folder.alert)
    assert not page.exception
    assert "The nearest of the pairs held (1)" in [str(part.label) for part in page.expander]
    told = texts(page)
    assert "What would mend it" in told and "1 of 105 pairs wanted for this topic; label these 3 first" in told
    (to_label,) = [
        found.value for found in page.dataframe if set(found.value.columns) == {"At", "Version", "Prompt", "Answer"}
    ]
    assert len(to_label) == 3
    (held,) = [found.value for found in page.dataframe if "Better answer" in found.value.columns]
    assert list(held["Prompt"]) == ["Do my loyalty points expire?"]


def test_a_gate_reports_calibration_of_both_versions_with_interval_and_count(
    filled_folder: World, open_page: Open
) -> None:
    page = open_page(filled_folder, "models", version="assistant-v2")
    assert not page.exception
    told = texts(page)
    assert "Calibration error, candidate: 0." in told
    assert "Brier score (a coin scores 0.25), champion: 0.250; " in told
    assert told.count("n = 256") >= 4


def opened(page: AppTest, key: str) -> AppTest:
    """The page once the section of this key was opened."""
    page.session_state[key] = True
    return page.run()


def test_service_levels_stand_by_version_with_interval_and_count(filled_folder: World, open_page: Open) -> None:
    page = open_page(filled_folder, "models")
    assert not [found for found in page.dataframe if "Time p95" in found.value.columns], "closed until somebody asks"
    page = opened(page, "service-open")
    assert not page.exception
    (table,) = [found.value for found in page.dataframe if "Time p95" in found.value.columns]
    assert set(table["Version"]) <= {"assistant-base", "assistant-v1"}
    assert all("n = " in cell or "needed" in cell for cell in table["Errors"])
    assert "Money appears once prices are set" in texts(page)


def test_a_trained_version_says_what_it_cost_once_prices_are_set(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        ended = sa.select(sa.func.max(runs.c.id)).where(runs.c.ended_at.is_not(None), runs.c.started_at.is_not(None))
        tx.execute(sa.update(versions).where(versions.c.name == "assistant-v2").values(run_id=tx.scalar(ended)))
    assert "What its training cost" not in texts(open_page(filled, "models", version="assistant-v2"))
    prices = CostSettings(training_hour=2.0, poor_answer=0.1, server_hour=1.0)
    priced = replace(filled, settings=replace(filled.settings, cost=prices))
    page = open_page(priced, "models", version="assistant-v2")
    assert not page.exception
    told = texts(page)
    assert "What its training cost and saves" in told and "not enough data" in told
    assert "Paid back by cheaper answers" in told and "not enough evidence: 0 of" in told
    whole = opened(open_page(priced, "models"), "service-open")
    (table,) = [f.value for f in whole.dataframe if "Time p95" in f.value.columns]
    assert "Cost (EUR)" in table.columns


def test_a_demonstration_says_so_and_states_its_customers_rule(tmp_path: Path, open_page: Open) -> None:
    from trimtab.demo.customers import RULE

    world = console_world.build_empty(tmp_path, demo=True)
    told = texts(open_page(world))
    world.store.close()
    assert "This is a demonstration" in told
    assert RULE in told


def test_pages_are_the_ones_that_the_guide_describes() -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "guide" / "console.md"
    words = guide.read_text("utf-8")
    for title in PAGES.values():
        assert f"## {title}" in words


def test_what_a_part_cannot_do_stands_on_the_overview(filled: World, open_page: Open) -> None:
    with filled.store.write(filled.now) as tx:
        rows = [row for row in heartbeats.ages(tx) if row["role"] == "gateway"]
        info = {"trouble": "Server 2 of 2 does not answer; the others answer in its place."}
        for row in rows:
            heartbeats.beat(tx, row["process"], "gateway", row["pid"], row["started_at"], info)
    page = open_page(filled)
    assert not page.exception
    assert "Server 2 of 2 does not answer" in texts(page)
