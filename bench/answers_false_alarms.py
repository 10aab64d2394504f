"""Bar M1, for response_drift: how many histories of answers in which nothing changes make it alarm.

Answers are those of hh-rlhf (chosen and rejected) as bench/descriptors.py draws them, in a random order; each history
takes a reference and 3,000 more answers, with a look after every one and the monitor with the whole budget. Run:
python bench/answers_false_alarms.py --runs 300 --processes 1. Resumable: every finished history is a line of
<cache>/answers-false-alarms.jsonl; `--seconds` ends a part in time, --fresh forgets all. Exit code 1 when the upper
95 % limit (Clopper-Pearson) of the share of alarms exceeds 1.5 times the budget, 2 while histories are left.
"""

import json
import multiprocessing
import sys
import time
from functools import partial

from clinc import embed, options
from descriptors import Corpus, calm, load, units

from estimates.proportions import exact_limits

NAME = "response_drift"


def main() -> int:
    """Run what is left and print the share. Returns the exit code."""
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further history after these")
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("Set TRIMTAB_DATA or --data to the folder of the public data.")
    began, ledger = time.monotonic(), args.cache / "answers-false-alarms.jsonl"
    if args.fresh:
        ledger.unlink(missing_ok=True)
    rows = load(args.data)
    texts = list(dict.fromkeys(row["response"] for row in rows))
    corpus = Corpus(rows, dict(zip(texts, embed(texts, args.encoder, args.cache), strict=True)))
    corpus.units[NAME] = units(NAME, rows, corpus.vectors)
    cell = {"reference": args.reference, "events": args.events, "budget": args.budget}
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    kept = [json.loads(line) for line in lines if line.endswith("}")]
    done = {row["run"]: row["at"] for row in kept if cell.items() <= row.items() and row["run"] < args.runs}
    left = [run for run in range(args.runs) if run not in done]
    with multiprocessing.get_context("fork").Pool(args.processes) as pool, ledger.open("a") as out:
        work = partial(calm, corpus, NAME, args.reference, args.events, args.budget)
        for start in range(0, len(left), args.processes):
            if time.monotonic() - began > args.seconds:
                break
            part = left[start : start + args.processes]
            for run, at in zip(part, pool.map(work, part), strict=True):
                out.write(json.dumps({**cell, "run": run, "at": at}) + "\n")
                done[run] = at
            out.flush()
    alarms = sum(at is not None for at in done.values())
    low, high = exact_limits(alarms, len(done))
    print(
        f"{NAME}: {alarms} of {len(done)} calm histories of {len(texts)} answers alarm at {args.budget}, reference "
        f"{args.reference}, share {alarms / max(len(done), 1):.4f}, 95 % limits {low:.4f} to {high:.4f}, "
        f"bar {1.5 * args.budget:.3f}"
    )
    if len(done) < args.runs:
        return 2
    return 1 if high > 1.5 * args.budget else 0


if __name__ == "__main__":
    sys.exit(main())
