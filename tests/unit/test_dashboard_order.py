"""Which monitors the console shows first, and which it keeps apart."""

from __future__ import annotations

from dataclasses import replace

from dashboard.verdict import running, status
from store.queries.overview import Tile


def tile(name: str, status: str | None, *, enabled: bool = True) -> Tile:
    latest = None if status is None else {"status": status}
    return Tile({"name": name, "enabled": enabled}, latest, [])  # type: ignore[arg-type]


def test_what_needs_somebody_comes_first_and_the_paused_not_at_all() -> None:
    tiles = [
        tile("calm", "ok"),
        tile("new", None),
        tile("off", "breach", enabled=False),
        tile("broken", "error"),
        tile("few", "nodata"),
        tile("moved", "breach"),
        replace(tile("loud", "nodata"), firing=True),
        tile("also calm", "ok"),
    ]
    names = ["loud", "moved", "broken", "calm", "also calm", "few", "new"]
    assert [shown.monitor["name"] for shown in running(tiles)] == names
    assert status(running(tiles)[0]) == "firing", "too little to tell anew ends no alert"
