"""Bar M5, busy traffic: CPU of a pass of thinned monitors over an hour's traffic, from 30,000 rows in it to a million.

For each size a store of its own (SQLite) holds as many rows of history as the hour brings. The epoch reads one
conversation in so many that 2,000 are left of the hour (as its opening would derive); its reference are 1,000 of the
history read by the same rule. Embeddings are made by hashing words: the encoder's cost is that of the rows read.
`--unthinned` also reads every row, for comparison. The rows are written in plain SQL. Run: python bench/thinning.py.
Exit code 1 when the ratio of the largest size's CPU to the smallest's exceeds 1.3.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pass_cost import PASSES, Hashing, installation, judge, look, median, start

from core.types import micros
from monitors import defaults
from store.unit_of_work import Store

START = datetime(2026, 11, 1, tzinfo=UTC)
READ = 2000
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


def measure(size: int, one_in: int) -> dict[str, float]:
    """Return each monitor's CPU-seconds for the pass over an hour of `size` rows, the median of PASSES hours."""
    now, passes = [START], []
    with installation(now, Hashing()) as effects:
        fill(effects.store, 1, size, size)
        now[0] += timedelta(hours=1)
        with effects.store.write(now[0]) as tx:
            defaults.ensure(tx, only=WATCHED)
        for name in WATCHED:
            start(name, effects, last=size, one_in=one_in)
        for turn in range(1, PASSES + 1):
            fill(effects.store, turn * size + 1, (turn + 1) * size, size)
            now[0] += timedelta(hours=1)
            passes.append(look(WATCHED, effects))
    return median(WATCHED, passes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30_000, 1_000_000])
    parser.add_argument("--unthinned", action="store_true", help="also read every row")
    args = parser.parse_args()
    totals = []
    for size in args.sizes:
        # A conversation has three rows, of which the first opens it.
        for one_in in [max(1, size // 3 // READ), *([1] if args.unthinned else [])]:
            found = measure(size, one_in)
            each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.items())
            total = sum(found.values())
            print(f"{size:,} rows an hour, one in {one_in}: {total:.2f} CPU-seconds ({each})", flush=True)
            if one_in > 1 or not args.unthinned:
                totals.append(total)
    return judge(totals)


if __name__ == "__main__":
    raise SystemExit(main())
