"""The search over captured exchanges: what it finds, in which order, and that a page reads a bounded part."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from core.types import Feedback, Inference
from store import feedback, inferences
from store.queries import traffic
from store.queries.traffic import Wanted
from store.unit_of_work import Store, Tx
from tests.store.conftest import NOW


@pytest.fixture
def store(empty_store: Store) -> Store:
    """130 exchanges of two versions, every tenth about butter, every thirteenth a probe."""
    rows = [
        Inference(
            f"00000000-0000-4000-8000-{i:012d}",
            NOW + timedelta(minutes=i),
            "assistant",
            f"v{i % 2}",
            "probe" if i % 13 == 0 else "live",
            [],
            "Butter, 100 % of it_" if i % 10 == 0 else f"parcel {i}",
            f"answer {i}",
            labels={"plan": "free" if i <= 60 else "paid"},
        )
        for i in range(1, 131)
    ]
    with empty_store.write(NOW) as tx:
        inferences.record(tx, rows)
    return empty_store


def numbers(rows: Any) -> list[int]:
    return [int(row["uuid"][-12:]) for row in rows]


def test_pages_follow_each_other_without_gap_or_repeat(store: Store) -> None:
    seen: list[int] = []
    before = traffic.END
    with store.read() as tx:
        while True:
            found = traffic.search(tx, "assistant", Wanted(before=before))
            seen += numbers(found.rows)
            if found.older is None:
                break
            before = found.older
    assert seen == [i for i in range(130, 0, -1) if i % 13]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(words="BUTTER"), [i for i in range(130, 0, -10) if i % 13]),
        (Wanted(words="answer 7"), [79, 77, 76, 75, 74, 73, 72, 71, 70, 7]),
        (Wanted(words="100 %"), [i for i in range(130, 0, -10) if i % 13]),
        (Wanted(words="1%0"), []),
        (Wanted(words="of it_"), [i for i in range(130, 0, -10) if i % 13]),
        (Wanted(words="f_it"), []),
        (Wanted(version="v1", words="answer 11"), [119, 115, 113, 111, 11]),
        (Wanted(label="plan=free", words="butter"), [60, 50, 40, 30, 20, 10]),
        (Wanted(label=" plan = paid ", words="butter"), [120, 110, 100, 90, 80, 70]),
        (Wanted(label="plan=nobody"), []),
        (Wanted(label="nothing"), []),
        (Wanted(since=NOW + timedelta(minutes=126)), [129, 128, 127, 126]),
    ],
)  # fmt: skip
def test_what_is_found_newest_first(store: Store, wanted: Wanted, expected: list[int]) -> None:
    with store.read() as tx:
        found = traffic.search(tx, "assistant", wanted)
        assert numbers(found.rows) == expected
        assert found.older is None
        assert traffic.search(tx, "another", wanted).rows == []


def test_a_page_reads_a_bounded_part_and_says_how_far_it_looked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "SCANNED", 25)
    seen: list[int] = []
    wanted = Wanted(words="butter")
    pages = 0
    with store.read() as tx:
        while True:
            found = traffic.search(tx, "assistant", wanted)
            seen += numbers(found.rows)
            pages += 1
            if found.older is None:
                assert found.scanned_to is None
                break
            assert found.scanned_to is not None and found.scanned_to <= NOW + timedelta(minutes=131 - 25 * pages)
            wanted = Wanted(words="butter", before=found.older)
    assert seen == [i for i in range(130, 0, -10) if i % 13] and pages == 6


# PostgreSQL scans a table this small whatever indexes it has, so only SQLite's plan says something here.
@pytest.mark.parametrize("empty_store", ["sqlite"], indirect=True)
def test_no_search_goes_through_all_traffic(store: Store) -> None:
    statements: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        statements.append((statement, parameters))

    def read(tx: Tx) -> None:
        traffic.search(tx, "assistant", Wanted(words="butter"))
        traffic.search(tx, "assistant", Wanted(version="v1", label="plan=free", since=NOW))
        row = traffic.one(tx, "00000000-0000-4000-8000-000000000001")
        assert row is not None
        traffic.other_answers(tx, row)
        traffic.queued(tx)
        traffic.said_of(tx, [1, 2])

    sa.event.listen(store.engine, "before_cursor_execute", note)
    try:
        with store.read() as tx:
            read(tx)
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", note)
    with store.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            steps = " ".join(str(row[-1]) for row in plan)
            assert "SCAN" not in steps, f"{steps}: {statement}"
            # What people said of a page's exchanges is a few rows; whatever walks the traffic must not sort it.
            assert "TEMP B-TREE" not in steps or "FROM feedback" in statement, f"{steps}: {statement}"


def test_what_people_said_in_a_few_words(store: Store) -> None:
    with store.write(NOW) as tx:
        for n, (kind, value) in enumerate((("thumb", 1.0), ("thumb", 1.0), ("thumb", -1.0), ("rating", 0.25))):
            feedback.record(tx, Feedback(f"{n}", NOW, kind, "00000000-0000-4000-8000-000000000002", value=value))  # type: ignore[arg-type]
        assert traffic.said_of(tx, [1, 2]) == {2: "2 up, 1 down, 1 rated 0.25"}
        row = traffic.one(tx, "00000000-0000-4000-8000-000000000002")
        assert row is not None and len(row["feedback"]) == 4
        assert traffic.one(tx, "nothing") is None
        assert numbers(traffic.by_ids(tx, [3, 1])) == [3, 1] and traffic.by_uuids(tx, []) == []
