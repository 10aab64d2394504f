"""What pages say: times, numbers, verdicts, exports, figures and diagnoses, all pure."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import charts, exports, words
from dashboard.plots import Dot, Line, Word
from dashboard.verdict import judge, silent
from dashboard.views.diagnosis import diagnose
from store.queries.overview import Frame, Tile

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ALIVE = [{"role": role, "age": 2.0} for role in ("gateway", "monitors", "retrain")]
TROUBLED = {"role": "gateway", "age": 2.0, "info": {"trouble": "cannot load assistant-v2: it was refused."}}


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3720, "1 h 2 min"),
        (90_000, "1 day 1 h"),
        (9e5, "10 days"),
    ],
)
def test_spans_read_in_two_units(seconds: float, read: str) -> None:
    assert words.span(seconds) == read


def test_times_read_from_now() -> None:
    assert words.ago(None, NOW) == "never"
    assert words.ago(NOW, NOW) == "just now"
    assert words.ago(NOW - timedelta(minutes=3), NOW) == "3 min ago"
    assert words.ago(NOW + timedelta(hours=2), NOW) == "in 2 h"


@pytest.mark.parametrize(
    ("value", "metric", "read"),
    [
        (None, "errors", "–"),
        (0.034, "refusal_rate", "3.4 %"),
        (682.41, "latency_p95_ms", "682.4 ms"),
        (12_345.6, "latency_p95_ms", "12,346 ms"),
        (0.11, words.POINTS, "11.0 points"),
        (1.23456, "anything", "1.235"),
    ],
)
def test_numbers_carry_their_unit(value: float | None, metric: str, read: str) -> None:
    assert words.number(value, metric) == read


def test_an_interval_never_comes_without_its_count() -> None:
    row = {"value": 0.03, "low": 0.02, "high": 0.05, "n": 1400, "needed": 0}
    assert words.interval(row, "errors") == "2.0 to 5.0 %, n = 1,400"
    assert words.interval({**row, "high": None}, "errors") == "at least 2.0 %, n = 1,400"
    assert words.interval({**row, "low": None, "high": None}) == "n = 1,400"
    assert words.interval({**row, "value": None, "n": 38, "needed": 162}) == "38 of 200 rows needed"
    assert words.interval({**row, "value": None, "n": 0}) == "Not enough data, n = 0"


def frame(**changes: Any) -> Frame:
    """A frame of a healthy installation with `changes`."""
    healthy: dict[str, Any] = {
        "route": {"version": "assistant-v1"},
        "verified": True,
        "last_sample_at": NOW,
        "firing": 0,
        "pending": 0,
        "untaken": 0,
        "proposed": [],
        "watched": 1,
        "running": 0,
        "processes": ALIVE,
    }
    return Frame(**{**healthy, **changes})


def tile(status: str | None, *, enabled: bool = True) -> Tile:
    """A monitor whose last look had `status`."""
    latest: Any = {"status": status} if status else None
    return Tile({"enabled": enabled, "name": "m"}, latest, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "statuses", "level", "said"),
    [
        ({}, ["ok"], "good", "Healthy"),
        ({}, ["ok", "nodata"], "good", "1 of 2 have not enough data"),
        ({}, [], "unknown", "no monitor has enough data"),
        ({}, ["nodata", None], "unknown", "no monitor has enough data"),
        ({}, ["ok", "error"], "attention", "1 monitor failed"),
        ({}, ["ok", "breach"], "attention", "past its limit"),
        ({"pending": 1}, ["nodata"], "unknown", "no monitor has enough data"),
        ({"firing": 2}, ["ok"], "bad", "2 alerts firing"),
        ({"firing": 1, "processes": []}, ["ok"], "bad", "1 alert firing"),
        ({"route": None}, ["ok"], "unknown", "No model"),
        ({"last_sample_at": None}, ["ok"], "unknown", "No traffic"),
        ({"processes": [*ALIVE[1:], TROUBLED]}, ["ok"], "attention", "the gateway reports: cannot load assistant-v2"),
        ({"processes": [*ALIVE, {**TROUBLED, "age": 30.0}]}, ["ok"], "good", "Healthy"),
        ({"processes": [*ALIVE[1:], TROUBLED], "firing": 1}, ["ok"], "bad", "1 alert firing"),
        ({"processes": ALIVE[:2]}, ["ok"], "unknown", "the retraining worker is not running"),
        ({"processes": [*ALIVE[:2], {"role": "retrain", "age": 61.0}]}, ["ok"], "unknown", "silent for 1 min"),
        (
            {"processes": [*({**row, "age": 61.0} for row in ALIVE), {"role": "dashboard", "age": 61.0}]},
            ["ok"],
            "unknown",
            "nothing can be written into its database",
        ),
    ],
)
def test_the_verdict_is_healthy_only_when_something_looked_and_found_nothing(
    changes: dict[str, Any], statuses: list[str | None], level: str, said: str
) -> None:
    found = judge(frame(**changes), [tile(status) for status in statuses])
    assert found.level == level
    assert said in found.sentence


def test_a_paused_monitor_is_not_a_healthy_one() -> None:
    assert judge(frame(), [tile("ok", enabled=False)]).level == "unknown"


def test_the_newest_pulse_of_a_part_counts() -> None:
    assert not silent(frame(processes=[*ALIVE, {"role": "gateway", "age": 900.0}]))


@given(st.text(max_size=40))
def test_no_cell_of_an_export_is_a_formula(text: str) -> None:
    made = exports.csv_bytes([{"a": text}], ["a"]).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(made, newline="")))
    assert rows[0] == ["a"]
    found = rows[1][0]
    assert found in (text, f"'{text}")
    assert not found.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1", "\u200b=1", "\r\n=1", "\x0c=1", "\u3000\u2060@A1"]
)
def test_formulas_are_neutralised(text: str) -> None:
    assert exports.cell(text) == f"'{text}"


def test_numbers_stay_numbers_in_an_export() -> None:
    assert exports.cell(-3.5) == -3.5
    assert exports.cell(None) is None
    assert exports.cell(NOW) == "2026-11-20T09:00:00+00:00"


def looks(*values: float | None) -> list[dict[str, Any]]:
    """Measurements an hour apart."""
    return [
        {
            "at": NOW + timedelta(hours=hour),
            "value": value,
            "low": None if value is None else value - 0.01,
            "high": None if value is None else value + 0.01,
            "n": 100,
            "needed": 20,
            "status": "nodata" if value is None else "ok",
        }
        for hour, value in enumerate(values)
    ]


def test_a_series_breaks_where_there_was_no_value() -> None:
    figure = charts.series(looks(0.1, 0.2, None, 0.3), "errors", limits=[0.25])
    lines = [mark for mark in figure.marks if isinstance(mark, Line)]
    assert len([line for line in lines if line.filled]) == 2
    first, second = (line for line in lines if not line.filled and line.colour == charts.CALM)
    assert [y for _, y in first.points] == [10.0, 20.0]
    assert [y for _, y in second.points] == [pytest.approx(30.0)]
    assert [mark.y for mark in figure.marks if isinstance(mark, Dot)] == [10.0, 20.0, pytest.approx(30.0)]
    limit = next(line for line in lines if line.colour == charts.ALARM)
    assert [y for _, y in limit.points] == [25.0, 25.0]


def test_words_of_releases_close_together_leave_the_latest_readable() -> None:
    times = [NOW - timedelta(hours=hours) for hours in (20, 1, 0.5)]
    releases = [{"live_at": at, "version": f"v{place}"} for place, at in enumerate(times)]
    figure = charts.state_line(["errors"], [], releases, NOW - timedelta(days=1), NOW)
    assert [mark.text for mark in figure.marks if isinstance(mark, Word)] == ["v2", "v0"]
    assert sum(isinstance(mark, Line) for mark in figure.marks) == 3


def test_names_in_charts_are_escaped() -> None:
    name = '<a href="javascript:alert(1)">x</a>'
    alert = {"monitor": name, "kind": "rule", "fired_at": NOW, "resolved_at": None}
    figure = charts.state_line([name], [alert], [{"live_at": NOW, "version": name}], NOW - timedelta(hours=1), NOW)
    assert "<a" not in figure.html() and "&lt;a" in figure.html()
    shifted = [{"name": name, "share_now": 0.4, "share_reference": 0.1}]
    assert "<a" not in charts.shares(shifted).html()


def test_training_and_held_out_figures_are_apart() -> None:
    events = [{"event": "step", "step": n, "accuracy": 0.5} for n in range(3)]
    figure = charts.learning([*events, {"event": "eval", "step": 2, "accuracy": 0.6}], "accuracy")
    assert [name for name, _ in figure.key] == ["training", "held out"]
    (held_out,) = (mark for mark in figure.marks if isinstance(mark, Dot))
    assert held_out.y == pytest.approx(60.0) and held_out.shape == "diamond"


def test_a_spark_is_an_image_of_numbers_alone() -> None:
    drawn = charts.spark([1.0, 2.0, 1.5], '"><script>')
    assert drawn.startswith("<img ")
    assert "<script" not in drawn


@pytest.mark.parametrize("limit", [None, 0.0, 0.1])
def test_a_difference_is_drawn_inside_its_picture(limit: float | None) -> None:
    drawn = unquote(charts.difference(-0.05, 0.02, 0.09, limit, charts.GOOD, "it's <b>better</b>"))
    places = [float(number) for number in re.findall(r'c?x[12]?="([0-9.]+)"', drawn)]
    assert min(places) >= 20
    assert max(places) <= 280
    assert ("limit" in drawn) == bool(limit)
    assert "<b>" not in drawn


def steps(losses: list[float], **more: float) -> list[dict[str, Any]]:
    """A run's progress with these losses."""
    return [{"event": "step", "step": n, "loss": loss, **more} for n, loss in enumerate(losses, 1)]


def test_a_diagnosis_says_what_the_figures_say() -> None:
    assert diagnose(steps([0.69] * 7)) == []
    assert "is learning" in diagnose(steps([0.69 - 0.01 * n for n in range(20)]))[0]
    assert "rose" in diagnose(steps([0.69 + 0.02 * n for n in range(20)]))[0]
    assert "hardly moved" in diagnose(steps([0.69] * 20))[0]
    held = [{"event": "eval", "step": 1, "loss": 0.5}, {"event": "eval", "step": 2, "loss": 0.6}]
    assert "by heart" in diagnose(steps([0.69] * 20) + held)[-1]
    assert any("80 %" in sentence for sentence in diagnose(steps([0.6] * 20, accuracy=0.8)))


def test_limits_read_in_words() -> None:
    assert words.limit({"limit": 0.02, "direction": "above"}, "errors") == "at most 2.0 %"
    assert words.limit({"limit": None}) == ""
