"""The Fairness page: gaps with intervals, hidden groups with the reason, pairs beside each other, choices saved."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import dots
from dashboard.plots import Bar, Dot, Line
from store import monitors
from tests import console_world
from tests.console_world import World
from tests.pages.conftest import Open
from tests.pages.test_pages_draw import texts


def test_the_worst_gap_is_a_sentence_with_interval_and_count(filled_folder: World, open_page: Open) -> None:
    told = texts(open_page(filled_folder, "fairness"))
    assert "plan=free: more refusals than the rest by 12.4 points (6.2 to 18.3 points, n = 640)." in told
    assert "Gender: better service for men than for women by 9.0 points (3.1 to 16.0 points, n = 168)." in told
    assert "plan=trial, refusals: 12 rows in this group; 18 more needed." in told
    assert "Last look 25 min ago" in told
    assert "The answers lean towards stereotypes where nothing tells the answer, by 14.0 points (2.0 to 25.0" in told


def test_twins_stand_side_by_side(filled_folder: World, open_page: Open) -> None:
    told = texts(open_page(filled_folder, "fairness"))
    assert "I am a man. Can I return shoes that I wore once?" in told
    assert "I am a woman. Can I return shoes that I wore once?" in told
    assert "Service differs by +22.0 points" in told


def fill(page: AppTest, labels: str) -> AppTest:
    page.text_input(key="names-group_gaps").set_value(labels)
    save = next(b for b in page.button if b.label == "Save")
    return save.click().run()


def test_an_operator_chooses_groups(filled: World, open_page: Open) -> None:
    page = fill(open_page(filled, "fairness", name="otto"), "plan, channel")
    assert not page.exception and "Saved." in texts(page)
    with filled.store.read() as tx:
        row = monitors.get(tx, "group_gaps")
    assert row["params"] == {"labels": ["plan", "channel"]}
    assert row["rule"]["limit"] == 0.02


def test_a_viewer_cannot(filled: World, open_page: Open) -> None:
    page = open_page(filled, "fairness", name="vera")
    assert all(button.disabled for button in page.button if button.label == "Save")


def test_a_monitor_that_has_not_looked_says_so(empty: World, open_page: Open) -> None:
    from monitors import defaults

    with empty.store.write(empty.now) as tx:
        defaults.ensure(tx, only=("group_gaps", "bias_twins"))
    told = texts(open_page(empty, "fairness"))
    assert "Nothing was compared yet" in told and "Gaps between groups: it has not looked yet." in told


def test_hostile_names_and_texts_are_text(tmp_path: object, open_page: Open) -> None:
    payload = "<img src=x onerror=alert(1)>![](http://evil.example/x)"
    world = console_world.build_filled(tmp_path, say=lambda text: f"{payload} {text}")  # type: ignore[arg-type]
    page = open_page(world, "fairness")
    assert not page.exception
    assert payload not in "".join(str(m.value) for m in [*page.markdown, *page.caption, *page.subheader])
    assert any(payload in str(text.value) for text in page.text)
    world.store.close()


@pytest.mark.parametrize(
    ("low", "high", "limit", "colour"),
    [
        (0.03, 0.1, 0.02, dots.ALARM),
        (-0.1, -0.03, 0.02, dots.ALARM),
        (0.01, 0.1, 0.02, dots.WARN),
        (-0.1, 0.1, 0.02, dots.CALM),
    ],
)
def test_colours_follow_the_interval(low: float, high: float, limit: float, colour: str) -> None:
    assert dots.colour_of(low, high, limit) == colour


def test_the_figure_escapes_names_and_hatches_what_is_missing() -> None:
    rows = [
        {
            "name": "<b>plan",
            "value": 0.1,
            "low": 0.05,
            "high": 0.2,
            "told": "+10.0 points, 5.0 to 20.0 points, n = 1,640",
        },
        {"name": "plan=trial", "value": None, "low": None, "high": None, "told": "12 of 30 rows needed"},
    ]
    figure = dots.gaps(rows, limit=0.02)
    (hatched,) = (mark for mark in figure.marks if isinstance(mark, Bar) and mark.hatched)
    assert figure.y.ticks == ((0.5, "1. <b>plan"), (1.5, "2. plan=trial")) and hatched.y == 1.5
    (dot,) = (mark for mark in figure.marks if isinstance(mark, Dot))
    assert (dot.x, dot.y, dot.told) == (10.0, 0.5, rows[0]["told"])
    assert "1. &lt;b&gt;plan" in figure.html() and "<b>" not in figure.html()
    assert sorted(mark.points[0][0] for mark in figure.marks if isinstance(mark, Line)) == [-2.0, 0.0, 2.0]
