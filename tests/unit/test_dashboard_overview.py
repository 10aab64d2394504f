"""Over which time the pages draw monitors at first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from dashboard.views.overview import first_range

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "name"),
    [(None, "24 h"), (0, "1 h"), (60, "1 h"), (61, "24 h"), (60 * 24, "24 h"), (60 * 24 * 9, "24 h")],
)
def test_a_young_installation_is_drawn_over_the_hour_that_holds_all_its_looks(minutes: int | None, name: str) -> None:
    first = None if minutes is None else NOW - timedelta(minutes=minutes)
    console: Any = SimpleNamespace(now=NOW, load=lambda key, query: first)
    assert first_range(console) == name
