"""Figures drawn as HTML: axes, places, and texts that stay texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import plots
from dashboard.plots import Axis, Bar, Dot, Line, Plot, Word

NOW = datetime(2026, 11, 20, 15, 7, tzinfo=UTC)


class Tags(HTMLParser):
    """The elements of a page, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(st.text(min_size=1))
def test_a_text_in_a_figure_is_never_anything_but_text(text: str) -> None:
    figure = Plot(Axis(0, 1, ((0.5, text),), text), plots.names([text, text]), 80, key=((text, "#123456"),))
    figure.marks += [Dot(0.5, 0.5, "#123456", 5, text), Bar(0, 1, 1.5, "#123456", 4, text), Word(0.5, 0.5, text)]
    figure.upright(0.5, "#123456", word=text)
    read = Tags()
    read.feed(figure.html())
    read.close()
    assert set(read.tags) <= {"div", "span", "i", "img"}
    assert read.tags.count("img") == 1
    assert read.attributes <= {"class", "style", "title", "data-told", "src", "alt"}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.booleans())
def test_an_axis_covers_its_values_with_few_round_ticks(values: list[float], zero: bool) -> None:
    axis = plots.numbers(values, zero=zero)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) and max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= plots.MOST_TICKS + 2
    assert axis.share(axis.low) == 0.0 and axis.share(axis.high) == pytest.approx(100.0)
    if zero:
        assert axis.low <= 0.0 <= axis.high


@given(st.timedeltas(timedelta(0), timedelta(days=400)))
def test_ticks_of_time_lie_inside_and_are_few(length: timedelta) -> None:
    axis = plots.moments(NOW - length, NOW)
    assert len(axis.ticks) <= plots.MOST_TICKS + 1
    assert all(axis.low <= at <= axis.high for at, _ in axis.ticks)


def test_a_day_has_hours_and_midnight_says_the_date() -> None:
    ticks = [word for _, word in plots.moments(NOW - timedelta(days=1), NOW).ticks]
    assert ticks == ["18:00", "Nov 20", "06:00", "12:00"]


def test_places_are_shares_of_the_figure() -> None:
    figure = Plot(Axis(0, 200), Axis(0, 50), 100, [Dot(50, 40, "#123456", 6)])
    figure.level(25, "#654321")
    drawn = unquote(figure.html())
    assert "left:25.00%;top:20.00%" in drawn
    assert 'points="0.00,50.00 100.00,50.00"' in drawn


def test_the_first_name_is_on_top() -> None:
    axis = plots.names(["first", "second"])
    assert axis.share(0.5) > axis.share(1.5)


def test_a_filled_line_is_an_area() -> None:
    figure = Plot(Axis(0, 1), Axis(0, 1), 100, [Line(((0, 0), (1, 0), (1, 1)), "#123456", filled=True)])
    assert "<polygon" in unquote(figure.html()) and "<polyline" not in unquote(figure.html())
