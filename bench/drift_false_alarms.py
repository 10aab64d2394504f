"""Bar M1: how many drift-free histories make the prompt-drift detector alarm, at budgets 0.05 and 0.10.

Each history permutes clinc150 (out-of-scope queries included), takes a reference and feeds 3,000 more
queries with a look after every one. Run: python bench/drift_false_alarms.py --reference 1000 --processes 2
Resumable: every finished history is a line of <cache>/drift-false-alarms.jsonl; --fresh forgets them. Exit
code 1 when the upper 95 % limit (Clopper-Pearson) of a share of alarms exceeds 1.5 times its budget.
"""

import argparse
import json
import multiprocessing
import time
from functools import partial

import numpy as np
from clinc import Corpus, load, options

from estimates.proportions import exact_limits
from monitors.statistics.drift import DriftDetector

CHUNK = 100


def watch(corpus: Corpus, reference: int, events: int, job: tuple[float, int]) -> dict[str, object]:
    """Return one history's outcome: whether and where it alarmed, by which view, and its CPU per 100
    queries.
    """
    budget, run = job
    order = np.random.default_rng([20261123, run]).permutation(23_700)[: reference + events]
    detector = DriftDetector.fit(*corpus.take(order[:reference]), alpha=budget, seed=run, horizon=events)
    started, view = time.process_time(), ""
    for start in range(reference, reference + events, CHUNK):
        looks = detector.update(*corpus.take(order[start : start + CHUNK]))
        view = next((look.view for look in looks if look.alarm), view)
        if detector.alarmed_at is not None:
            break
    cpu = (time.process_time() - started) / detector.seen * 100_000
    return {"budget": budget, "run": run, "at": detector.alarmed_at, "view": view, "cpu_ms": round(cpu, 2)}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.05, 0.10])
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    corpus = load(args)
    ledger = args.cache / "drift-false-alarms.jsonl"
    if args.fresh:
        ledger.unlink(missing_ok=True)
    done = finished(args, ledger)
    jobs = [(b, r) for r in range(args.runs) for b in args.budgets if (b, r) not in done]
    work = partial(watch, corpus, args.reference, args.events)
    with multiprocessing.get_context("fork").Pool(args.processes) as pool, ledger.open("a") as out:
        for result in pool.imap_unordered(work, jobs):
            out.write(json.dumps(result | {"reference": args.reference, "events": args.events}) + "\n")
            out.flush()
            done[(result["budget"], result["run"])] = result
    failed = False
    for budget in args.budgets:
        own = [done[(budget, run)] for run in range(args.runs)]
        alarms = [r for r in own if r["at"] is not None]
        low, high = exact_limits(len(alarms), len(own))
        views = {v: sum(r["view"] == v for r in alarms) for v in sorted({r["view"] for r in alarms})}
        quiet = np.median([r["cpu_ms"] for r in own if r["at"] is None])
        print(
            f"budget {budget} reference {args.reference}: {len(alarms)} of {len(own)} histories alarm, share "
            f"{len(alarms) / len(own):.4f}, 95 % limits {low:.4f} to {high:.4f}, bar {1.5 * budget:.3f}; {views}; "
            f"median CPU {quiet:.1f} ms per 100 queries"
        )
        failed |= high > 1.5 * budget
    return 1 if failed else 0


def finished(args: argparse.Namespace, ledger) -> dict[tuple[float, int], dict]:
    """Return the histories that an earlier run of the same reference and length finished."""
    if not ledger.exists():
        return {}
    rows = [json.loads(line) for line in ledger.read_text().splitlines() if line.endswith("}")]
    same = [r for r in rows if r["reference"] == args.reference and r["events"] == args.events]
    return {(r["budget"], r["run"]): r for r in same}


if __name__ == "__main__":
    raise SystemExit(main())
