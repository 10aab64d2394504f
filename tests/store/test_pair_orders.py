"""What the worker does about pairs when a page asks: each command ends once, and whoever asked is in the chain."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.settings import Settings
from gateway.jsonl import Source
from retrain.pairs import checks, orders
from retrain.pairs.orders import Desk
from store import audit, carrying, commands, datasets, pairs, staging, tables
from store.carrying import Carrier
from store.unit_of_work import Store
from tests.customs_world import make_lot

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


@pytest.fixture
def desk(empty_store: Store, tmp_path: Path) -> Desk:
    with empty_store.write(NOW) as tx:
        for name, role in {"otto": "operator", "vera": "viewer"}.items():
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
    return Desk(empty_store, Settings(home=tmp_path, models_home=tmp_path), lambda: NOW)


def ask(desk: Desk, kind: str, **args: Any) -> str:
    with desk.store.write(NOW) as tx:
        return commands.ask(tx, kind, owner="retrain", args=args, actor="otto")


def ended(desk: Desk, uuid: str) -> Any:
    asyncio.run(orders.obey(desk, "w1"))
    with desk.store.read() as tx:
        return commands.get(tx, uuid)


def stage(desk: Desk, rows: list[dict[str, Any]]) -> str:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return staging.put(desk.settings.home, data, now=NOW)


ROWS = [
    {"prompt": f"May I keep parcel {n}?", "chosen": f"Yes, {n}.", "rejected": "No.", "contributor": f"c{n % 3}"}
    for n in range(40)
]


@pytest.mark.slow
def test_a_dataset_is_locked_by_whoever_asked_and_once(desk: Desk) -> None:
    with desk.store.write(NOW) as tx:
        pairs.add(tx, make_lot(150, seed=31), actor="x")
        checks.judge_collected(tx)
    done = ended(desk, ask(desk, "lock_dataset", max_train_pairs=24))
    assert (done["state"], done["result"]["train"]) == ("done", 24)
    again = ended(desk, ask(desk, "lock_dataset", max_train_pairs=24))
    assert again["result"]["dataset"] == done["result"]["dataset"]
    with desk.store.read() as tx:
        (event,) = [event for event in audit.events(tx) if event.kind == "dataset.locked"]
        card = tx.all(tables.datasets.select())[0]["card"]
        assert datasets.get(tx, 1)["digest"] == done["result"]["digest"]
    assert event.actor == "otto" and card["consents"] == {"yes": 24 + card["pairs"]["held_out"]}


def test_a_check_without_a_pair_says_so(desk: Desk) -> None:
    done = ended(desk, ask(desk, "check_pairs"))
    assert (done["state"], done["message"]) == (
        "failed",
        "There is no approved pair yet. Import some, or wait for feedback.",
    )


def test_a_preview_says_what_an_import_then_does(desk: Desk) -> None:
    digest = stage(desk, [*ROWS, ROWS[0], {**ROWS[1], "id": "a", "licence": "unknown"}])
    seen = ended(desk, ask(desk, "preview_pairs", digest=digest, name="p.jsonl", licence="MIT"))["result"]
    assert (seen["rows"], seen["new"], seen["already"], seen["wrong"]["count"]) == (42, 40, 2, 0)
    assert seen["held"] == 0 and seen["licences"] == {"MIT": 41, "unknown": 1} and seen["contributors"] == 3
    args = {"digest": digest, "name": "p.jsonl", "licence": "MIT"}
    assert ended(desk, ask(desk, "import_pairs", **args))["result"]["new_rows"] == seen["new"]
    # A worker that was killed before it could say so finds nothing left to do.
    assert ended(desk, ask(desk, "import_pairs", **args))["result"]["new_rows"] == 0
    assert ended(desk, ask(desk, "preview_pairs", **args))["result"]["new"] == 0
    with desk.store.read() as tx:
        kept = pairs.collected(tx)
    assert len(kept) == 40 and {pair.licence for pair in kept} == {"MIT"}
    assert len({pair.contributor for pair in kept}) == 3 and not {"c0", "c1", "c2"} & {p.contributor for p in kept}


def test_staged_files_go_after_a_day(desk: Desk) -> None:
    old = stage(desk, ROWS[:1])
    new = staging.put(desk.settings.home, b"{}", now=datetime.now(UTC) + 2 * staging.KEPT)
    assert old != new
    assert [path.name for path in (desk.settings.home / "staging").iterdir()] == [new]


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_text("\n" * 5000 + '{"a": 1}\n')
    assert list(Source(path, most_bytes=6000).rows(lambda row, line: line)) == [5001]
    with pytest.raises(InvalidInput, match=r"big\.jsonl unpacks to more than 4,000 bytes"):
        list(Source(path, most_bytes=4000).rows(lambda row, line: line))


def test_a_command_that_takes_long_keeps_its_lease(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    renewed = Carrier._renew

    def renew(carrier: Carrier, id: int, share: float) -> bool:
        told.append(share)
        return renewed(carrier, id, share)

    def slow(desk: Desk, args: Any, actor: str, report: Any) -> dict[str, Any]:
        report(0.5)
        while not told:
            pass
        return {"fine": True}

    monkeypatch.setattr(carrying, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(Carrier, "_renew", renew)
    monkeypatch.setattr(orders, "WORK", {**orders.WORK, "check_pairs": slow})
    assert ended(desk, ask(desk, "check_pairs"))["result"] == {"fine": True}
    assert told[0] == 0.5


def test_work_is_left_when_the_process_ends_and_when_another_one_has_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ending = threading.Event(), threading.Event()

    def slow(desk: Desk, args: Any, actor: str, report: Any) -> dict[str, Any]:
        began.set()
        while True:
            report(0.5)
            time.sleep(0.005)

    def state() -> str:
        with desk.store.read() as tx:
            return str(commands.get(tx, uuid)["state"])

    async def obey(then: Callable[[], None]) -> str:
        task = asyncio.create_task(orders.obey(desk, "w1", ending=ending.is_set))
        assert await asyncio.to_thread(began.wait, 10)
        then()
        return await asyncio.wait_for(task, 10)

    def take_over() -> None:
        with desk.store.write(NOW) as tx:
            tx.execute(tables.commands.update().values(claimed_by="w2"))

    monkeypatch.setattr(carrying, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(orders, "WORK", {**orders.WORK, "check_pairs": slow})
    uuid = ask(desk, "check_pairs")
    assert asyncio.run(obey(ending.set)) == "" and state() == "asked", "handed back, not failed"
    began.clear()
    assert asyncio.run(orders.obey(desk, "w1", ending=ending.is_set)) == "" and not began.is_set(), "nor taken again"
    ending.clear()
    assert asyncio.run(obey(take_over)) == "" and state() == "claimed", "the other one's, and not worked on to its end"
