"""Bar P8 for the search of the Traffic page: how long a page of results takes on a long history, on SQLite.

Texts are words drawn by a Zipf law, 40 a prompt and 80 an answer; the rare word stands in one exchange in 20,000. Each
search runs 40 times; the history is walked to its end once for the rare word. Run: python bench/traffic_search.py
--rows 1000000. Exit code 1 when a page takes more than 50 ms at the 95th percentile.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.types import Inference
from store import inferences, schema
from store.queries import traffic
from store.queries.traffic import Wanted
from store.unit_of_work import Store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
BATCH, TIMES, LIMIT = 10_000, 40, 0.050
WORDS = np.array([f"word{number}" for number in range(5_000)])
RARE, EVERY = "zanzibar", 20_000


def fill(store: Store, rows: int) -> None:
    """Write `rows` exchanges, one a second, the newest at NOW."""
    rng = np.random.default_rng(20261126)
    for start in range(0, rows, BATCH):
        drawn = WORDS[np.minimum(rng.zipf(1.3, (BATCH, 120)), len(WORDS)) - 1]
        made = []
        for place in range(min(BATCH, rows - start)):
            number = start + place
            prompt = " ".join(drawn[place, :40]) + (f" {RARE}" if number % EVERY == 0 else "")
            made.append(
                Inference(
                    f"00000000-0000-4000-8000-{number:012d}",
                    NOW - timedelta(seconds=rows - number),
                    "assistant",
                    f"v{number * 10 // rows}",
                    "live",
                    [{"role": "user", "content": prompt}],
                    prompt,
                    " ".join(drawn[place, 40:]),
                    labels={"plan": "free" if number % 3 else "paid"},
                )
            )
        with store.write(NOW) as tx:
            inferences.record(tx, made)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    searches = {
        "newest": Wanted(),
        "a common word": Wanted(words="word1 "),
        "a rare word": Wanted(words=RARE),
        "no such word": Wanted(words="nowhere"),
        "the oldest version": Wanted(version="v0"),
        "a segment and a word": Wanted(label="plan=paid", words="word77"),
        "the last hour": Wanted(since=NOW - timedelta(hours=1)),
    }
    slow = False
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/trimtab.db")
        schema.upgrade(store, now=NOW)
        fill(store, args.rows)
        for name, wanted in searches.items():
            took = []
            for _ in range(TIMES):
                began = time.perf_counter()
                with store.read() as tx:
                    found = traffic.search(tx, "assistant", wanted)
                took.append(time.perf_counter() - began)
            median, high = np.quantile(took, [0.5, 0.95])
            slow |= bool(high > LIMIT)
            print(f"{name}: {len(found.rows)} rows, median {median * 1e3:.1f} ms, p95 {high * 1e3:.1f} ms", flush=True)
        began, pages, seen, before = time.perf_counter(), 0, 0, traffic.END
        while True:
            with store.read() as tx:
                found = traffic.search(tx, "assistant", Wanted(words=RARE, before=before))
            pages, seen = pages + 1, seen + len(found.rows)
            if found.older is None:
                break
            before = found.older
        print(f"the rare word to the end: {seen} rows in {pages} pages, {time.perf_counter() - began:.1f} s")
        store.close()
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
