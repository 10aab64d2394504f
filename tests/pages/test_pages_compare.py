"""Comparing versions from the Models page: asked for by an operator, shown as a table when it is done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from streamlit.testing.v1 import AppTest

from core.types import Estimate
from dashboard.views.compare import spread
from store import commands
from tests.console_world import World
from tests.pages.conftest import Open


def texts(page: AppTest) -> str:
    return "\n".join(str(element.value) for part in (page.text, page.caption) for element in part)


def measured(value: float, difference: float) -> dict[str, Any]:
    return {
        "value": asdict(Estimate(value, value - 0.02, value + 0.02, 72, "clustered")),
        "difference": asdict(Estimate(difference, difference - 0.03, difference + 0.03, 72, "paired")),
    }


def open_section(world: World, open_page: Open, name: str) -> AppTest:
    page = open_page(world, "models", name=name)
    page.session_state["compare-open"] = True
    return page.run()


def test_an_operator_asks_and_reads_the_table(filled: World, open_page: Open) -> None:
    page = open_section(filled, open_page, "otto")
    assert not page.exception
    assert page.button(key="compare-do").disabled, "nothing is chosen yet"
    page.multiselect(key="compare").select("assistant-v1").select("assistant-v2").run()
    page.button(key="compare-do").click().run()
    assert not page.exception
    missing = asdict(Estimate.missing(4, "student", 1))
    told = {
        "baseline": "assistant-v1",
        "prompts": 168,
        "versions": {
            "assistant-v1": {
                "refusal_rate": measured(0.04, 0.0),
                "cost": {"value": 1.5, "currency": "EUR"},
                "tokens": {"value": 12.0},
            },
            "assistant-v2": {
                "refusal_rate": {"value": missing, "difference": missing},
                "cost": {**measured(1.25, -0.25), "currency": "EUR"},
            },
        },
    }
    with filled.store.write(filled.now) as tx:
        row = commands.claim(tx, "retrain", "w1", 60, kinds=("compare",))
        assert row is not None and row["args"] == {"versions": ["assistant-v1", "assistant-v2"]}
        commands.finish(tx, row["id"], told, process="w1")
    page = open_section(filled, open_page, "otto")
    assert not page.exception
    assert "168 prompts each; differences are from assistant-v1." in texts(page)
    table = page.dataframe[-1].value if len(page.dataframe) else None
    assert table is not None and "1.500 EUR" in str(table.to_dict()), "a comparison of an earlier release"
    assert "1.250 EUR, 1.230 to 1.270, n = 72; -0.250 EUR, -0.280 to -0.220, n = 72" in str(table.to_dict())
    rows = {(row["version"], row["measure"]): row for row in spread(told["versions"])}
    assert (
        rows["assistant-v2", "cost"]["value_low"] == 1.23 and rows["assistant-v2", "cost"]["difference_high"] == -0.22
    )
    assert rows["assistant-v1", "cost"] == {
        **dict.fromkeys(rows["assistant-v1", "cost"]),
        "version": "assistant-v1",
        "measure": "cost",
        "currency": "EUR",
        "value": 1.5,
    }
    assert any(button.label == "Save as CSV" for button in page.get("download_button"))
    assert "4 of 5 rows needed" in str(table.to_dict())
    assert "not measured" in str(table.to_dict()), "a version that the server counts no tokens of"


def test_a_viewer_only_looks(filled_folder: World, open_page: Open) -> None:
    page = open_section(filled_folder, open_page, "vera")
    assert page.button(key="compare-do").disabled
    assert "An operator can compare versions." in texts(page)
