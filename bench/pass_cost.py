"""Bar M5: CPU of one pass of all monitors over a 2,000-row sample, with 10,000 and with a million rows of history.

For each size a store of its own (SQLite) is filled with exchanges and judgements. The statistical monitors stand at an
epoch whose reference are the rows before the last 2,000, and read those; the others draw 2,000 of the newest 5,000.
Monitors that ask the model are left out: their cost is the model's. Embeddings are made by hashing words unless
`--encoder` names the real one, whose cost is the same at every size and printed by itself. Every monitor that needs no
model runs, also those that start paused; the median of three passes over three such samples counts.

Run: python bench/pass_cost.py --sizes 10000 1000000. Exit code 1 when the ratio of the totals exceeds 1.3.
"""

import argparse
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.settings import Settings
from core.thinning import Thinning
from core.types import Feedback, Inference
from monitors import cycle, sequence
from monitors.defaults import DEFAULTS
from monitors.effects import Effects
from monitors.epochs import Plan
from monitors.metrics import metrics
from store import feedback, inferences, schema
from store import monitors as rows
from store.unit_of_work import Store

END = datetime(2026, 11, 1, tzinfo=UTC)
SAMPLE, REFERENCE, BATCH, PASSES = 2000, 1000, 5000, 3
BAR = 1.3
WORDS = ["where", "is", "my", "parcel", "refund", "order", "card", "late", "broken", "when", "cancel", "gift", "size"]


class Hashing:
    """An encoder that costs next to nothing: the sum of a vector a word."""

    identity = "hashing"

    def __init__(self) -> None:
        self.vectors = {
            word: np.random.default_rng(zlib.crc32(word.encode())).standard_normal(384).astype(np.float32)
            for word in WORDS
        }

    def __call__(self, texts: Sequence[str]) -> Any:
        found = [[self.vectors[w] for w in text.split() if w in self.vectors] for text in texts]
        return np.stack([np.sum(v, axis=0) if v else np.ones(384, np.float32) for v in found]).astype(np.float32)


class Encoding:
    """The real encoder; `seconds` of CPU that it took."""

    identity = "real"

    def __init__(self, folder: Path) -> None:
        from models.encoder import Encoder

        self.encoder, self.seconds = Encoder(folder), 0.0

    def __call__(self, texts: Sequence[str]) -> Any:
        began = time.process_time()
        out = self.encoder.embed(list(texts))
        self.seconds += time.process_time() - began
        return out


def exchanges(first: int, n: int) -> Iterator[Inference]:
    """Yield n exchanges with the numbers from `first` on, a minute apart."""
    for i in range(first, first + n):
        rng = random.Random(i)
        prompt = " ".join(rng.choices(WORDS, k=8))
        answer = "I cannot help with that." if i % 25 == 0 else "It arrives soon. " * rng.randint(1, 9)
        at = END + timedelta(minutes=i)
        messages = [{"role": "user", "content": prompt}]
        yield Inference(
            f"00000000-0000-4000-8000-{i:012d}", at, "assistant", "v1", "live", messages, prompt, answer,
            latency_ms=200.0 + i % 90, first_token_ms=20.0, labels={"channel": "web" if i % 3 else "app"},
        )  # fmt: skip


def fill(store: Store, first: int, n: int) -> None:
    """Write n exchanges and a judgement of one in four of the newest."""
    for start in range(first, first + n, BATCH):
        made = list(exchanges(start, min(BATCH, first + n - start)))
        with store.write(made[-1].at) as tx:
            keys = inferences.record(tx, made)
            for key, row in zip(keys[-SAMPLE:], made[-SAMPLE:], strict=True):
                if key % 4 == 0:
                    said = Feedback(f"f{row.uuid[1:]}", row.at, "thumb", row.uuid, -1.0 if key % 20 == 0 else 1.0)
                    feedback.record(tx, said)


def monitors_of(store: Store, now: datetime) -> list[str]:
    """Make every monitor that asks no model, drawing SAMPLE rows; return their names."""
    names = []
    with store.write(now) as tx:
        for template in DEFAULTS:
            metric = metrics.get(template["name"])
            if any(hasattr(metric, asking) for asking in ("ask", "questions", "examine", "rank", "compare")):
                continue
            plan = {"kind": "uniform", "size": SAMPLE, "span": 5000}
            values = {"weight": 0.0, "params": {}, "rule": {}, **template, "plan": plan, "enabled": True}
            values["params"] = {k: v for k, v in values["params"].items() if k != "window_seconds"}
            rows.ensure(tx, **{**values, "metric": template["name"]})
            names.append(template["name"])
    return names


def start(name: str, effects: Effects, *, last: int = 1 << 60, one_in: int = 1) -> None:
    """Begin an epoch on the newest REFERENCE units up to the key `last`, of one conversation in so many.

    The next look reads what comes after them.
    """
    now = effects.clock()
    metric = metrics.get(name)
    if metric.guarantee != "budget":
        return
    with effects.store.write(now) as tx:
        monitor = rows.get(tx, name)
        tick = rows.claim_tick(tx, monitor, now, process=effects.process, lease=cycle.LEASE)
    job = sequence._job(monitor, metric, tick, effects)
    source = job.source.thinned(Thinning(one_in, job.source.thinning.seed))
    with effects.store.read(now) as tx:
        old = rows.open_epoch(tx, monitor["id"])
        units = source.spanning(tx, 1, last, version="", wanted=REFERENCE)
    sequence._begin(job, old, Plan(units, units[-1].key, "measured", thinning=source.thinning), None)
    with effects.store.write(now) as tx:
        rows.finish_tick(tx, tick)


@contextmanager
def installation(now: list[datetime], embed: Any) -> Iterator[Effects]:
    """What monitors work with, on a store of its own; the first of `now` is the time."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store = Store.open(f"sqlite:///{folder / 'trimtab.db'}")
        schema.upgrade(store, now=now[0])
        settings = Settings(home=folder, models_home=folder)
        yield Effects(store, settings, lambda: now[0], embed, lambda *a, **k: [], lambda *a: "")
        store.close()


def look(names: Sequence[str], effects: Effects) -> list[float]:
    """Let each monitor look once; return the CPU-seconds of each."""
    spent = []
    for name in names:
        cpu = time.process_time()
        outcome = cycle.run_now(name, effects)
        spent.append(time.process_time() - cpu)
        assert outcome is not None and outcome.state == "done", outcome
    return spent


def median(names: Sequence[str], passes: Sequence[Sequence[float]]) -> dict[str, float]:
    """Each monitor's median over the passes."""
    return dict(zip(names, np.median(passes, axis=0).tolist(), strict=True))


def judge(totals: Sequence[float]) -> int:
    """Print the ratio of the last total to the first; return the exit code."""
    ratio = totals[-1] / totals[0]
    print(f"ratio {ratio:.2f}, bar {BAR}")
    return 1 if ratio > BAR else 0


def measure(size: int, embed: Any) -> dict[str, float]:
    """Return each monitor's CPU-seconds for a pass over SAMPLE new rows after `size` rows of history."""
    now, passes = [END], []
    with installation(now, embed) as effects:
        began = time.perf_counter()
        fill(effects.store, 0, size)
        print(f"{size:,} rows written in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        now[0] = END + timedelta(minutes=size)
        names = monitors_of(effects.store, now[0])
        for turn in range(PASSES):
            now[0] += timedelta(minutes=1)
            for name in names:
                start(name, effects)
            fill(effects.store, size + turn * SAMPLE, SAMPLE)
            now[0] = END + timedelta(minutes=size + (turn + 1) * SAMPLE)
            passes.append(look(names, effects))
    return median(names, passes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--encoder", type=Path, help="folder of the prepared encoder")
    args = parser.parse_args()
    totals = []
    for size in args.sizes:
        embed = Encoding(args.encoder) if args.encoder else Hashing()
        found = measure(size, embed)
        totals.append(sum(found.values()))
        each = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.items())
        encoder = f", the encoder {embed.seconds:.1f} in all" if args.encoder else ""
        print(f"{size:,} rows: {totals[-1]:.2f} CPU-seconds a pass{encoder} ({each})", flush=True)
    return judge(totals)


if __name__ == "__main__":
    raise SystemExit(main())
