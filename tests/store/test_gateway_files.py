"""Imports into the store: every row or none, once however often repeated, from real files too."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, Forbidden, InvalidInput
from gateway import imports
from gateway.imports import import_pairs, import_traffic
from gateway.jsonl import BadRows
from store import accounts, inferences
from store.unit_of_work import Store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def count(store: Store, table: str) -> int:
    with store.read() as tx:
        return int(tx.scalar(sa.text(f"SELECT count(*) FROM {table}")))


def test_traffic_is_imported_once(empty_store: Store, tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"p{n}", "response": "r", "user": "anna"} for n in range(2500)]
    path, shares = write(tmp_path / "t.jsonl", rows), list[float]()
    done = import_traffic(
        empty_store, path, {}, actor="system:test", now=NOW, progress=lambda share, note: shares.append(share)
    )
    assert (done.rows, done.new_rows) == (2500, 2500)
    again = import_traffic(empty_store, path, {}, actor="system:test", now=NOW)
    assert (again.rows, again.new_rows, again.digest) == (2500, 0, done.digest)
    assert count(empty_store, "inferences") == count(empty_store, "inference_texts") == 2500
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    with empty_store.read() as tx:
        read = inferences.after(tx, 0, kinds=("import",), limit=3)
        assert [row.prompt for row in read] == ["p0", "p1", "p2"]
        events = tx.all(sa.text("SELECT kind, body FROM audit_events ORDER BY id"))  # type: ignore[arg-type]
        assert [event["kind"] for event in events][-2:] == ["traffic.imported"] * 2
        assert "p0" not in str(events)


def test_one_wrong_row_means_no_row(empty_store: Store, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"id": n, "prompt": "p"} for n in range(1500)]
    rows[1400] = {"id": 1400, "prompt": 3}
    with pytest.raises(BadRows, match="line 1401"):
        import_traffic(empty_store, write(tmp_path / "t.jsonl", rows), {}, actor="system:test", now=NOW)
    assert count(empty_store, "inferences") == count(empty_store, "imports") == 0


def test_file_that_changes_while_it_is_read_leaves_nothing(
    empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t.jsonl", [{"id": n, "prompt": "p"} for n in range(10)])
    digests = iter(["one", "two"])
    monkeypatch.setattr(imports, "_digest", lambda _: next(digests))
    with pytest.raises(Conflict, match="changed while it was read"):
        import_traffic(empty_store, path, {}, actor="system:test", now=NOW)
    assert count(empty_store, "inferences") == 0


def test_empty_file_and_wrong_role_are_refused(empty_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no rows"):
        import_traffic(empty_store, write(tmp_path / "t.jsonl", []), {}, actor="system:test", now=NOW)
    with empty_store.write(NOW) as tx:
        accounts.create(tx, "vera", "a long password", "viewer", actor="system:setup")
        accounts.create(tx, "otto", "a long password", "operator", actor="system:setup")
    path = write(tmp_path / "u.jsonl", [{"prompt": "p"}])
    with pytest.raises(Forbidden):
        import_traffic(empty_store, path, {}, actor="vera", now=NOW)
    assert import_traffic(empty_store, path, {}, actor="otto", now=NOW).new_rows == 1


def test_pairs_are_collected_once_with_their_provenance(empty_store: Store, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"q{n}", "chosen": "yes", "rejected": "no", "contributor": "team-1", "licence": "MIT"}
        for n in range(20)
    ]
    path = write(tmp_path / "p.jsonl", rows)
    assert import_pairs(empty_store, path, {}, actor="system:test", now=NOW).new_rows == 20
    assert import_pairs(empty_store, path, {}, actor="system:test", now=NOW).new_rows == 0
    with empty_store.read() as tx:
        row = tx.one(sa.text("SELECT * FROM pairs ORDER BY id LIMIT 1"))  # type: ignore[arg-type]
        assert row is not None
        assert (row["state"], row["source"], row["licence"], row["contributor"]) == (
            "collected",
            "p.jsonl",
            "MIT",
            inferences.hash_user(inferences.salt_of(tx), "team-1"),
        )


def test_public_pairs_are_imported_whole(empty_store: Store, public_data: Path) -> None:
    done = import_pairs(empty_store, public_data / "hh-rlhf/pairs.jsonl.gz", {}, actor="system:test", now=NOW)
    assert done.rows == 1258
    assert done.new_rows == count(empty_store, "pairs") > 1200
