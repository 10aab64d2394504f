"""Bar M1: how many drift-free histories make the prompt-drift detector alarm, at budgets 0.05 and 0.10.

Each history permutes clinc150 (out-of-scope queries included), takes a reference and feeds 3,000 more
queries with a look after every one. Run: python bench/drift_false_alarms.py --reference 1000 --processes 2
Resumable: every finished history is a line of <cache>/drift-false-alarms.jsonl; --fresh forgets them. Exit
code 1 when the upper 95 % limit (Clopper-Pearson) of a share of alarms exceeds 1.5 times its budget.
"""

import time
from functools import partial

import numpy as np
from clinc import Corpus, load
from histories import Job, Outcome, at_budgets, code, finish, options, share

from monitors.statistics.drift import DriftDetector

CHUNK = 100


def watch(corpus: Corpus, reference: int, events: int, job: Job) -> Outcome:
    """Return one history's outcome: whether and where it alarmed, by which view, and its CPU per 100
    queries.
    """
    budget, run = job["budget"], job["run"]
    order = np.random.default_rng([20261123, run]).permutation(23_700)[: reference + events]
    detector = DriftDetector.fit(*corpus.take(order[:reference]), alpha=budget, seed=run, horizon=events)
    started, view = time.process_time(), ""
    for start in range(reference, reference + events, CHUNK):
        looks = detector.update(*corpus.take(order[start : start + CHUNK]))
        view = next((look.view for look in looks if look.alarm), view)
        if detector.alarmed_at is not None:
            break
    cpu = (time.process_time() - started) / detector.seen * 100_000
    return {"at": detector.alarmed_at, "view": view, "cpu_ms": round(cpu, 2)}


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--events", type=int, default=3000)
    args = parser.parse_args()
    setting = {"reference": args.reference, "events": args.events, "code": code("monitors/statistics")}
    work = partial(watch, load(args), args.reference, args.events)
    done = finish(args, "drift-false-alarms.jsonl", setting, at_budgets(args), work)
    kept = True
    for budget in args.budgets:
        own = [outcome for outcome in done if outcome["budget"] == budget]
        views = [outcome["view"] for outcome in own if outcome["at"] is not None]
        words, inside = share(len(views), len(own), budget)
        quiet = np.median([outcome["cpu_ms"] for outcome in own if outcome["at"] is None])
        by = {view: views.count(view) for view in sorted(set(views))}
        print(
            f"budget {budget}, reference {args.reference}: {words}; {by}; median CPU {quiet:.1f} ms per 100 queries",
            flush=True,
        )
        kept &= inside
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
