"""An export of evidence: what it holds and what not, that the chain knows it, and that anybody can check it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, InvalidInput, Unavailable
from store import audit, tables
from store.evidence import bundle, reading, records, shelf, verify
from store.evidence.bundle import Export
from store.evidence.period import Period
from store.unit_of_work import Store
from tests import console_world
from tests.console_world import World

MONTH = timedelta(days=30)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> ”'\" "


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A filled installation to which exports only add their events."""
    made = console_world.build_filled(tmp_path_factory.mktemp("filled"))
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """An export of all of it."""
    return export(world, tmp_path_factory.mktemp("made") / "e.zip")


def export(world: World, path: Path, period: Period | None = None) -> Export:
    wanted = period or Period(world.now - MONTH, world.now + MONTH)
    return bundle.export(world.store, path, wanted, deployment="assistant", actor="otto", now=world.now)


def read(path: Path, name: str) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.jsonl") as lines:
        return [json.loads(line) for line in lines]


def manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        found: dict[str, Any] = json.loads(archive.read(verify.MANIFEST))
        return found


def test_it_is_checked_by_the_script_in_it_and_nothing_else(made: Export, tmp_path: Path) -> None:
    with zipfile.ZipFile(made.path) as archive:
        archive.extract("verify.py", tmp_path)
    for digest, code in ((made.digest, 0), ("0" * 64, 1)):
        done = subprocess.run(
            [sys.executable, "-I", "-S", tmp_path / "verify.py", made.path, "--digest", digest],
            capture_output=True,
            text=True,
            check=False,
            env={},
        )
        assert done.returncode == code, done.stdout + done.stderr


def test_the_chain_knows_it_and_who_asked(world: World, made: Export) -> None:
    with world.store.read() as tx:
        event = next(event for event in audit.events(tx) if event.kind == "evidence.exported")
        assert audit.verify(tx).bad is None
    assert (event.kind, event.actor, event.subject) == ("evidence.exported", "otto", made.digest)
    assert event.body["records"] == made.records
    assert made.path.stat().st_mode & 0o077 == 0 and made.bytes == made.path.stat().st_size


def test_every_set_holds_what_the_store_holds(empty_store: Store, tmp_path: Path) -> None:
    world = console_world.build_filled(tmp_path / "home", store=empty_store)
    made = export(world, tmp_path / "e.zip")
    same = {
        **{name: name for name in ("feedback", "measurements", "monitors", "epochs", "alerts", "alert_transitions")},
        **{name: name for name in ("decisions", "runs", "datasets", "versions", "gate_reports", "deployments")},
        **{name: name for name in ("accounts", "imports", "detector_labels", "silences", "pairs")},
        "exchanges": "inferences",
        "notices": "outbox",
    }
    files = manifest(made.path)["files"]
    with world.store.read() as tx:
        for name, table in same.items():
            count = tx.scalar(sa.select(sa.func.count()).select_from(getattr(tables, table)))
            assert len(read(made.path, name)) == files[f"{name}.jsonl"]["records"] == count, name
        assert audit.verify(tx).bad is None
    assert sum(one.get("records", 0) for one in files.values()) == made.records
    pages = {"controls.json", "report.html", "stories.json", "verify.py"}
    assert set(files) == {f"{one.name}.jsonl" for one in records.SETS} | pages
    assert verify.check_export(made.path, made.digest) == []


def test_what_is_written_meanwhile_is_not_torn_into_it(empty_store: Store, tmp_path: Path) -> None:
    world = console_world.build_filled(tmp_path / "home", store=empty_store)
    told: list[float] = []

    def meanwhile(share: float) -> None:
        told.append(share)
        with world.store.write(world.now) as tx:  # dated within the period, committed while it is read
            tx.audit("ann", "account.role_changed", "ann", {"n": len(told)})

    period = Period(world.now - MONTH, world.now + MONTH)
    path = tmp_path / "e.zip"
    made = bundle.export(
        world.store, path, period, deployment="assistant", actor="otto", now=world.now, report=meanwhile
    )
    assert len(told) > 5 and verify.check_export(path, made.digest) == []
    assert not [row for row in read(path, "chain") if row["kind"] == "account.role_changed"]
    with world.store.read() as tx:
        assert audit.verify(tx).bad is None


def test_no_captured_text_and_no_secret_leaves(world: World, made: Export) -> None:
    with world.store.read() as tx:
        texts = [text for row in tx.all(sa.select(tables.inference_texts)) for text in (row["prompt"], row["response"])]
        texts += [row[name] for row in tx.all(sa.select(tables.pairs)) for name in ("chosen", "rejected")]
        texts += [row["prompt"][-1]["content"] for row in tx.all(sa.select(tables.pairs))]
        texts += [row["comment"] for row in tx.all(sa.select(tables.feedback))]
        texts += [row["password_hash"] for row in tx.all(sa.select(tables.accounts))]
        texts += [json.dumps(row["config"]) for row in tx.all(sa.select(tables.channels)) if row["config"]]
    with zipfile.ZipFile(made.path) as archive:
        everything = "\n".join(archive.read(name).decode() for name in archive.namelist() if name != "verify.py")
    assert len(texts) > 100
    assert not [text for text in texts if len(text) > 12 and text in everything]


def test_a_period_is_its_own_piece_of_the_chain(world: World, tmp_path: Path) -> None:
    with world.store.read() as tx:
        events = list(audit.events(tx))
    at = [datetime.fromtimestamp(event.at / 1e6, UTC) for event in events]
    since = sorted(at)[len(at) // 2]
    made = export(world, tmp_path / "e.zip", Period(since, world.now + MONTH))
    chain, told = read(made.path, "chain"), manifest(made.path)["chain"]
    assert 0 < len(chain) < len(events) and told["after"] == chain[0]["id"] - 1 > 0
    assert told["previous"] == events[chain[0]["id"] - 2].hash and verify.check_export(made.path) == []
    assert all(row["at"] >= since.isoformat() for row in read(made.path, "exchanges"))
    none = export(world, tmp_path / "none.zip", Period(world.now - 9 * MONTH, world.now - 8 * MONTH))
    assert none.events == 0 and verify.check_export(none.path) == []
    assert set(none.controls["EU AI Act"]) == {"none in this period", "not covered"}


def test_pages_of_rows_leave_none_out_and_repeat_none(
    world: World, made: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {one.name: read(made.path, one.name) for one in records.SETS[1:]}
    monkeypatch.setattr(reading, "BATCH", 7)
    paged = export(world, tmp_path / "pages.zip")
    assert {name: read(paged.path, name) for name in whole} == whole


def test_controls_say_which_records_speak_for_them(made: Export) -> None:
    with zipfile.ZipFile(made.path) as archive:
        controls = json.loads(archive.read("controls.json"))
    told = {(one["framework"], one["id"]): one for one in controls}
    assert len(told) >= 40 and sum(one["status"] == "records" for one in controls) >= 40
    fair = told["NIST AI RMF 1.0", "MEASURE 2.11"]["records"]["measurements/fairness"]
    assert fair == sum(row["speaks_for"] == "fairness" for row in read(made.path, "measurements")) > 0
    assert told["NIST AI RMF 1.0", "MEASURE 2.12"]["status"] == "not covered"


def test_the_story_of_a_decision_goes_from_the_alarm_to_the_release(made: Export) -> None:
    with zipfile.ZipFile(made.path) as archive:
        stories = json.loads(archive.read("stories.json"))
    kinds = [[step["kind"] for step in story["steps"]] for story in stories if story["state"] == "executed"]
    steps = ["decision.proposed", "decision.approved", "run.queued", "run.started", "gate.reported", "run.succeeded"]
    promotion = ["decision.proposed"]  # of the candidate that the run made
    assert any([kind for kind in one if kind in steps] == steps + promotion for one in kinds), kinds
    assert all(story["steps"] == sorted(story["steps"], key=lambda step: step["event"]) for story in stories)


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag}@{name}" for name, _ in attrs)}


def test_the_page_shows_hostile_text_as_text(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    world = console_world.build_filled(tmp_path / "home", say=lambda text: HOSTILE + text)
    made = export(world, tmp_path / "e.zip")
    with zipfile.ZipFile(made.path) as archive:
        page = archive.read("report.html").decode()
    world.store.close()
    tags = Tags()
    tags.feed(page)
    assert "&lt;script&gt;" in page
    plain = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "code", "table", "thead", "tbody"}
    known = {*plain, "tr", "th", "td", "b", "br", "span", "html@lang", "meta@charset", "p@class", "span@class"}
    assert tags.found <= {*known, "td@class", "th@class"}
    assert "http" not in page


def test_what_cannot_be_is_refused_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="ends before"):
        Period(world.now, world.now)
    with pytest.raises(InvalidInput, match="zone"):
        Period((world.now - MONTH).replace(tzinfo=None), world.now.replace(tzinfo=None))
    made = export(world, tmp_path / "e.zip")
    with pytest.raises(Conflict, match="there already"):
        export(world, made.path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable, match="cannot be written"):
        export(world, tmp_path / "file" / "e.zip")
    assert sorted(path.name for path in tmp_path.glob("*.zip")) == ["e.zip"]
    assert not list(tmp_path.glob(".partial-*"))


def test_an_export_that_is_stopped_leaves_no_file(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "there"

    def stop(share: float) -> None:
        assert 0 < share < 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle.export(
            world.store,
            folder / "e.zip",
            Period(world.now - MONTH, world.now),
            deployment="assistant",
            actor="otto",
            now=world.now,
            report=stop,
        )
    assert list(folder.iterdir()) == []


def test_the_shelf_keeps_the_newest_and_gives_only_exports(tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    period = Period(now - MONTH, now)
    names = []
    for minute in range(shelf.KEPT + 3):
        path = shelf.place(tmp_path, period, now=now + timedelta(minutes=minute))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        names.append(path.name)
    kept = sorted(path.name for path in (tmp_path / "evidence").iterdir())
    (tmp_path / "evidence" / ".partial-x").write_bytes(b"torn")
    shelf.place(tmp_path, period, now=datetime.now(UTC))
    assert (tmp_path / "evidence" / ".partial-x").exists()
    shelf.place(tmp_path, period, now=datetime.now(UTC) + 2 * shelf.TORN)
    assert not (tmp_path / "evidence" / ".partial-x").exists()
    assert kept == names[-shelf.KEPT :] and shelf.find(tmp_path, names[-1]).read_bytes() == b"x"
    for name in ("../trimtab.db", "evidence.zip", "/etc/passwd", ""):
        with pytest.raises(InvalidInput):
            shelf.find(tmp_path, name)
