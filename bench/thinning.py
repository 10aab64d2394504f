"""Bar M5, busy traffic: CPU of a pass of thinned monitors over an hour's traffic, from 30,000 rows in it to a million.

For each size a store of its own (SQLite) holds as many rows of history as the hour brings. The epoch reads one
conversation in so many that 2,000 are left of the hour (as its opening would derive); its reference are 1,000 of the
history read by the same rule. Embeddings are made by hashing words: the encoder's cost is that of the rows read.
`--unthinned` also reads every row, for comparison. The rows are written in plain SQL. Run: python bench/thinning.py.
Exit code 1 when the ratio of the largest size's CPU to the smallest's exceeds 1.3.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pass_cost import Hashing

from core.settings import Settings
from core.thinning import Thinning
from core.types import micros
from monitors import cycle, defaults, sequence
from monitors.effects import Effects
from monitors.epochs import Plan
from monitors.metrics import metrics
from store import monitors as rows
from store import schema
from store.unit_of_work import Store

START = datetime(2026, 11, 1, tzinfo=UTC)
READ, REFERENCE, PASSES = 2000, 1000, 3
BAR = 1.3
WATCHED = ("prompt_drift", "refusal_rate", "response_length")
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)"
NARROW = """INSERT INTO inferences (id, uuid, at, deployment, version, kind, status, error, finish_reason, streamed,
    prompt_tokens, completion_tokens, latency_ms, response_chars, conversation, user_hash, labels, prompt_digest)
    {numbers} SELECT i, printf('00000000-0000-4000-8000-%012d', i), :at + i * :apart, 'assistant', 'v1', 'live', 200,
    '', 'stop', 0, 9, 9, 200.0 + i % 90, 40, 'c' || (i / 3), '', '{{}}', '' FROM n"""
TEXTS = """INSERT INTO inference_texts (inference_id, messages, prompt, response)
    {numbers} SELECT i, '[]', 'where is my parcel ' || (i % 97) || ' order',
    CASE WHEN i % 25 = 0 THEN 'I cannot help with that.' ELSE 'It arrives soon.' END FROM n"""


def fill(store: Store, first: int, last: int, hour: int) -> None:
    """Write rows with the keys from `first` to `last`, three a conversation, `hour` of them an hour."""
    with store.engine.begin() as connection:
        bound = {"first": first, "last": last, "at": micros(START), "apart": 3_600_000_000 // hour}
        for statement in (NARROW, TEXTS):
            connection.execute(sa.text(statement.format(numbers=NUMBERS)), bound)


def measure(size: int, one_in: int, folder: Path) -> dict[str, float]:
    """Return each monitor's CPU-seconds for the pass over an hour of `size` rows, the median of PASSES hours."""
    store = Store.open(f"sqlite:///{folder / f'{size}-{one_in}.db'}")
    schema.upgrade(store, now=START)
    fill(store, 1, size, size)
    now = [START + timedelta(hours=1)]
    effects = Effects(
        store, Settings(home=folder, models_home=folder), lambda: now[0], Hashing(), lambda *a, **k: [], lambda *a: ""
    )
    with store.write(now[0]) as tx:
        defaults.ensure(tx, only=WATCHED)
    for name in WATCHED:
        with store.write(now[0]) as tx:
            monitor = rows.get(tx, name)
            tick = rows.claim_tick(tx, monitor, now[0], process=effects.process, lease=cycle.LEASE)
        job = sequence._job(monitor, metrics.get(name), tick, effects)
        source = job.source.thinned(Thinning(one_in, job.source.thinning.seed))
        with store.read(now[0]) as tx:
            units = source.spanning(tx, 1, size, version="", wanted=REFERENCE)
        sequence._begin(job, None, Plan(units, size, "measured", thinning=source.thinning), None)
        with store.write(now[0]) as tx:
            rows.finish_tick(tx, tick)
    spent: dict[str, list[float]] = {name: [] for name in WATCHED}
    for turn in range(1, PASSES + 1):
        fill(store, turn * size + 1, (turn + 1) * size, size)
        now[0] += timedelta(hours=1)
        for name in WATCHED:
            cpu = time.process_time()
            outcome = cycle.run_now(name, effects)
            spent[name].append(time.process_time() - cpu)
            assert outcome is not None and outcome.state == "done", outcome
    store.close()
    return {name: float(np.median(seconds)) for name, seconds in spent.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30_000, 1_000_000])
    parser.add_argument("--unthinned", action="store_true", help="also read every row")
    args = parser.parse_args()
    totals = []
    for size in args.sizes:
        # A conversation has three rows, of which the first opens it.
        for one_in in [max(1, size // 3 // READ), *([1] if args.unthinned else [])]:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(size, one_in, Path(folder))
            each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.items())
            total = sum(found.values())
            print(f"{size:,} rows an hour, one in {one_in}: {total:.2f} CPU-seconds ({each})", flush=True)
            if one_in > 1 or not args.unthinned:
                totals.append(total)
    ratio = totals[-1] / totals[0]
    print(f"ratio {ratio:.2f}, bar {BAR}")
    return 1 if ratio > BAR else 0


if __name__ == "__main__":
    raise SystemExit(main())
