"""Bar M1, all monitors together: how many drift-free histories make any statistical monitor alarm, at one budget.

Each history permutes clinc150 as prompts; answers are other queries, one in twenty a refusal, three in ten judged, one
in five of those badly. The ledger shares the budget by the default weights; references are the defaults'.
`--every-monitor` adds those that start paused. Run: python bench/monitors_false_alarms.py --processes 2. Resumable:
every finished history is a line of <cache>/monitors-false-alarms.jsonl; --fresh forgets them. Exit code 1 when the
upper 95 % limit (Clopper-Pearson) of a share of histories with any alarm exceeds 1.5 times its budget.
"""

import argparse
import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from clinc import Corpus, load, options

from core.types import Inference
from estimates.proportions import exact_limits
from monitors.defaults import DEFAULTS
from monitors.metrics import Unit, metrics, read
from monitors.statistics.budget import Budget

START = datetime(2026, 1, 5, tzinfo=UTC)
REFUSAL = "I cannot help with that."
REFUSED, JUDGED, DISLIKED = 0.05, 0.3, 0.2
CHUNK = 100


def watched(every: bool) -> dict[str, tuple[float, int]]:
    """Return weight and reference size of the statistical monitors that start enabled, or of all."""
    return {
        row["name"]: (float(row["weight"]), int(row["params"].get("reference", 1000)))
        for row in DEFAULTS
        if float(row.get("weight", 0)) > 0 and (every or row.get("enabled", True))
    }


def exchanges(corpus: Corpus, run: int, n: int) -> tuple[list[Inference], np.ndarray, np.ndarray, list[float | None]]:
    """Return n exchanges, the rows of their prompts and answers in the corpus, and what was said of each answer."""
    rng = np.random.default_rng([20261126, run])
    asked, told = rng.permutation(23_700)[:n], rng.permutation(23_700)[:n]
    refused = rng.random(n) < REFUSED
    judged, bad = rng.random(n) < JUDGED, rng.random(n) < DISLIKED
    said = [float(bad[i]) if judged[i] else None for i in range(n)]
    rows = []
    for i in range(n):
        answer = REFUSAL if refused[i] else corpus.texts[told[i]]
        at = START + timedelta(minutes=5 * i)
        rows.append(Inference(str(i), at, "a", "v", "live", [], corpus.texts[asked[i]], answer, id=i + 1))
    return rows, asked, told, said


def units_of(
    name: str, rows: Sequence[Inference], vectors: tuple[np.ndarray, np.ndarray], said: Sequence[float | None]
) -> list[Unit]:
    """Return the units that a monitor reads of the exchanges; `vectors` are those of prompts and of answers."""
    metric = metrics.get(name)
    own = vectors[metric.source == "answers"]
    out = []
    for row, vector, judged in zip(rows, own, said, strict=True):
        value = judged if metric.source == "feedback" else metric.value(row)
        if value is not None:
            unit = Unit(row.id, row.id, row.at, read(metric, row), value)
            out.append(replace(unit, vector=vector) if metric.embedded else unit)
    return out


def watch(corpus: Corpus, events: int, every: bool, job: tuple[float, int]) -> dict[str, object]:
    """Return one history's outcome: which monitors alarmed within `events` exchanges after the references."""
    budget, run = job
    monitors = watched(every)
    longest = max(reference for _, reference in monitors.values())
    # One exchange in three or so is judged: the reference of the judgements spans more of them.
    before = max(longest, round(1.3 * max(r for n, (_, r) in monitors.items() if n == "negative_feedback") / JUDGED))
    rows, asked, told, said = exchanges(corpus, run, before + events)
    vectors = (corpus.rows[asked], corpus.rows[told])
    ledger = Budget.open(budget, {n: w for n, (w, _) in monitors.items()}, dict.fromkeys(monitors, 1))
    alarmed = []
    for name, (_, reference) in monitors.items():
        ledger, alpha = ledger.grant(name, "1")
        units = units_of(name, rows, vectors, said)
        first = [unit for unit in units if unit.key <= before][-reference:]
        later = [unit for unit in units if unit.key > before]
        tracker = metrics.get(name).start(first, alpha=alpha, horizon=events, seed=run, params={})
        if any(tracker.update(later[i : i + CHUNK]).alarm for i in range(0, len(later), CHUNK)):
            alarmed.append(name)
    return {"budget": budget, "run": run, "every": every, "events": events, "alarmed": alarmed}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.05, 0.10])
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--every-monitor", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    corpus = load(args)
    ledger = args.cache / "monitors-false-alarms.jsonl"
    if args.fresh:
        ledger.unlink(missing_ok=True)
    done = finished(args, ledger)
    jobs = [(b, r) for r in range(args.runs) for b in args.budgets if (b, r) not in done]
    work = partial(watch, corpus, args.events, args.every_monitor)
    with multiprocessing.get_context("fork").Pool(args.processes) as workers, ledger.open("a") as out:
        for result in workers.imap_unordered(work, jobs):
            out.write(json.dumps(result) + "\n")
            out.flush()
            done[(result["budget"], result["run"])] = result
    failed = False
    for budget in args.budgets:
        own = [done[(budget, run)]["alarmed"] for run in range(args.runs)]
        alarms = [names for names in own if names]
        low, high = exact_limits(len(alarms), len(own))
        by = {name: sum(name in names for names in alarms) for name in watched(args.every_monitor)}
        print(
            f"budget {budget}: {len(alarms)} of {len(own)} histories alarm, share {len(alarms) / len(own):.4f}, 95 % "
            f"limits {low:.4f} to {high:.4f}, bar {1.5 * budget:.3f}; {by}"
        )
        failed |= high > 1.5 * budget
    return 1 if failed else 0


def finished(args: argparse.Namespace, ledger) -> dict[tuple[float, int], dict]:
    """Return the histories that an earlier run of the same monitors and length finished."""
    if not ledger.exists():
        return {}
    rows = [json.loads(line) for line in ledger.read_text().splitlines() if line.endswith("}")]
    same = [r for r in rows if (r["every"], r["events"]) == (args.every_monitor, args.events)]
    return {(r["budget"], r["run"]): r for r in same}


if __name__ == "__main__":
    raise SystemExit(main())
