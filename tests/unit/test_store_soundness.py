"""A SQLite file that is written over in place, under processes that have its pages in memory, is found damaged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.errors import Unavailable
from core.settings import Settings
from monitors.app import App
from store import heartbeats
from store.soundness import find_damage
from store.unit_of_work import Store
from tests.stores import make_store
from trimtab import installation

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    with opened.write(NOW) as tx:
        for number in range(2000):
            tx.audit("ann", "noted", f"line {number}")
    yield opened
    opened.close()


def damage(store: Store, folder: Path) -> bytes:
    """Write garbage over the page where the chain begins; returns what the file held before."""
    with store.read() as tx:
        page = int(tx.scalar(sa.text("SELECT rootpage FROM sqlite_master WHERE name = 'audit_events'")))
        size = int(tx.scalar(sa.text("PRAGMA page_size")))
    raw = store.engine.raw_connection()
    raw.cursor().execute("PRAGMA wal_checkpoint(FULL)")
    raw.close()
    sound = (folder / "trimtab.db").read_bytes()
    with (folder / "trimtab.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    return sound


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'trimtab.db'}"


def test_a_sound_file_is_sound_and_stays_so_under_writers(store: Store, tmp_path: Path) -> None:
    with store.write(NOW) as tx:
        tx.audit("ann", "noted", "under way")
        assert find_damage(url(tmp_path)) == ""


def test_garbage_in_a_page_is_found_though_others_have_it_in_memory(store: Store, tmp_path: Path) -> None:
    damage(store, tmp_path)
    found = find_damage(url(tmp_path))
    assert found.startswith("The database file is damaged (") and "restore a backup" in found


def test_a_check_is_left_when_its_process_ends(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.soundness._STEPS", 1)
    with pytest.raises(Unavailable):
        find_damage(url(tmp_path), leave=lambda: True)


def test_the_doctor_and_the_overview_are_told(store: Store, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models_home=tmp_path / "models")
    now = NOW
    app = App(settings, store, "key", clock=lambda: now, tell=lambda line: None)

    def check(hours: float) -> tuple[str, str]:
        nonlocal now
        now += timedelta(hours=hours)
        line = asyncio.run(app._check())
        asyncio.run(app._beat())
        with store.read() as tx:
            return line, str(heartbeats.ages(tx)[0]["info"]["trouble"])

    def examined() -> dict[str, bool]:
        return {finding.name: finding.ok for finding in installation.examine(settings)}

    assert check(1) == ("", "") and examined()["database file"]
    sound = damage(store, tmp_path)
    assert check(1) == ("", ""), "it is looked at once a day"
    line, trouble = check(24)
    assert line == trouble and "damaged" in trouble
    found = examined()
    assert found["database file"] is False
    (tmp_path / "trimtab.db").write_bytes(sound)
    assert check(0) == ("", ""), "until it is mended it is looked at again and again"
