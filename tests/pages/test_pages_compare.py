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
    assert page.button(key="compare-do").disabled and "Choose 2 to 6 versions." in texts(page)
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
                "attack_success": measured(0.28, 0.0),
                "seconds_a_token": measured(0.05, 0.0),
                "tokens_an_answer": measured(12.0, 0.0),
                "cost_of_1000_answers": {"value": 1.5, "currency": "EUR"},
            },
            "assistant-v2": {
                "refusal_rate": {"value": missing, "difference": missing},
                "attack_success": measured(0.2, -0.08),
                "seconds_a_token": measured(0.06, 0.2),
                "cost_of_1000_answers": {**measured(1.25, -0.25), "currency": "EUR"},
            },
        },
    }
    with filled.store.write(filled.now) as tx:
        row = commands.claim(tx, "retrain", "w1", 60, kinds=("compare",))
        assert row is not None and row["args"] == {"versions": ["assistant-v1", "assistant-v2"]}
        commands.finish(tx, row["id"], told, process="w1")
    page = open_section(filled, open_page, "otto")
    assert not page.exception
    assert "168 prompts each. After a semicolon: the difference from assistant-v1." in texts(page)
    table = page.dataframe[-1].value.set_index("Measure")
    first, second = table["assistant-v1"], table["assistant-v2"]
    assert first["Attack success"] == "28.0 % (26.0 to 30.0 %, n = 72)", "the first differs from itself in nothing"
    assert second["Attack success"] == "20.0 % (18.0 to 22.0 %, n = 72); -8.0 points (-11.0 to -5.0 points, n = 72)"
    assert second["Seconds a token"] == "0.060 (0.040 to 0.080, n = 72); +20.0 % (17.0 to 23.0 %, n = 72)"
    assert second["Refusal rate"] == "4 of 5 rows needed"
    assert first["Cost of 1,000 answers"] == "1.500 EUR", "a comparison of an earlier release"
    assert second["Cost of 1,000 answers"] == (
        "1.250 EUR (1.230 to 1.270, n = 72); -0.250 EUR (-0.280 to -0.220, n = 72)"
    )
    assert (first["Tokens an answer"], second["Tokens an answer"]) == (
        "12.00 (11.98 to 12.02, n = 72)",
        "not measured",
    )
    assert "does not count tokens; the cost rests on them too" in texts(page)
    cost = {row["version"]: row for row in spread(told["versions"]) if row["measure"] == "cost_of_1000_answers"}
    assert (cost["assistant-v2"]["value_low"], cost["assistant-v2"]["difference_high"]) == (1.23, -0.22)
    assert {name: value for name, value in cost["assistant-v1"].items() if value is not None} == {
        "version": "assistant-v1",
        "measure": "cost_of_1000_answers",
        "currency": "EUR",
        "value": 1.5,
    }
    assert any(button.label == "Save as CSV" for button in page.get("download_button"))


def test_a_viewer_only_looks(filled_folder: World, open_page: Open) -> None:
    page = open_section(filled_folder, open_page, "vera")
    assert page.button(key="compare-do").disabled
    assert "An operator can compare versions." in texts(page)
