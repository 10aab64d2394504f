"""Bar X6 for the time of an export: the evidence of a period with many records, written and checked.

Of the records two thirds are exchanges, the rest measurements, feedback, preference pairs and events of the chain, in
equal parts. Run: python bench/evidence.py --rows 1000000 [--database URL of an empty PostgreSQL database]. Exit code 1
when the export takes more than 60 s a million records, or is not sound.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from store import schema
from store.evidence import bundle
from store.evidence.period import Period
from store.tables import feedback, inferences, measurements, monitors, pairs
from store.unit_of_work import Store, Tx

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BATCH, LIMIT = 10_000, 60.0


def uuid(kind: int, number: int) -> str:
    return f"0000000{kind}-0000-4000-8000-{number:012d}"


def exchange(number: int, at: datetime) -> dict[str, Any]:
    told = {"uuid": uuid(1, number), "at": at, "deployment": "assistant", "version": f"v{number % 9}", "kind": "live"}
    sizes = {"prompt_tokens": 40, "completion_tokens": 80, "latency_ms": 731.25, "response_chars": 400}
    return {**told, **sizes, "prompt_digest": f"{number:064x}", "user_hash": f"{number % 999:032x}"}


def measured(number: int, at: datetime) -> dict[str, Any]:
    value = {"value": 0.04, "low": 0.031, "high": 0.0525, "n": 800, "method": "clopper-pearson 95%"}
    return {"monitor_id": 1, "at": at, "metric": "refusal_rate", "status": "ok", **value}


def thumb(number: int, at: datetime) -> dict[str, Any]:
    return {"uuid": uuid(2, number), "at": at, "kind": "thumb", "value": 1.0, "inference_id": number + 1}


def pair(number: int, at: datetime) -> dict[str, Any]:
    texts = {
        "prompt": [],
        "chosen": "yes",
        "rejected": "no",
        "source": "feedback",
        "licence": "own",
        "state": "approved",
    }
    return {"uuid": uuid(3, number), "content_digest": f"{number:064x}", "prompt_digest": "0" * 64, "at": at, **texts}


def spread(rows: int) -> Iterator[tuple[int, datetime]]:
    """Numbers with their times, over 30 days."""
    return ((number, NOW - timedelta(days=30) * (1 - number / rows)) for number in range(rows))


def fill(store: Store, rows: int) -> None:
    """Write about `rows` records; exchanges first, for the others name them."""
    part = rows // 12
    with store.write(NOW) as tx:
        tx.insert(monitors, name="refusal_rate", metric="refusal_rate", severity="warning", created_at=NOW)
    kinds = (
        (inferences, exchange, rows - 4 * part),
        (measurements, measured, part),
        (feedback, thumb, part),
        (pairs, pair, part),
    )
    for table, make, count in kinds:
        made: list[dict[str, Any]] = []
        for number, at in spread(count):
            made.append(make(number, at))
            if len(made) == BATCH:
                write(store, table, made)
                made = []
        write(store, table, made)
    for start in range(0, part, BATCH):
        with store.write(NOW - timedelta(days=1)) as tx:
            for number in range(start, min(start + BATCH, part)):
                event(tx, number)


def event(tx: Tx, number: int) -> None:
    tx.audit("system:pairs", "pairs.judged", "pairs", {"approved": number % 7, "quarantined": number % 3})


def write(store: Store, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        with store.write(NOW) as tx:
            tx.execute(sa.insert(table), rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", default="")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(args.database or f"sqlite:///{folder}/trimtab.db")
        schema.upgrade(store, now=NOW)
        fill(store, args.rows)
        path, period = Path(folder) / "e.zip", Period(NOW - timedelta(days=31), NOW)
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        worked = time.process_time()
        made = bundle.export(store, path, period, deployment="assistant", actor="bench", now=NOW)
        took, worked = time.perf_counter() - began, time.process_time() - worked
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        store.close()
        with zipfile.ZipFile(path) as archive:
            archive.extract("verify.py", folder)
        began = time.perf_counter()
        checked = subprocess.run(
            [sys.executable, "-I", f"{folder}/verify.py", path, "--digest", made.digest], check=False
        )
        million = 1e6 / made.records
        print(
            f"{made.records:,} records, {made.events:,} of them events: exported in {took:.1f} s, {took * million:.1f} "
            f"s a million, {worked * million:.1f} of them computing; {made.bytes / 1e6:.0f} MB, peak memory "
            f"{before / 1e3:.0f} to {after / 1e3:.0f} MB; checked in {time.perf_counter() - began:.1f} s"
        )
    return 1 if checked.returncode or took / made.records * 1e6 > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
