"""Bar M1, hours without a reference: how many histories alarm whose reference is one afternoon and whose nights differ.

The reference is 200 answers between 12:00 and 18:00, of which 5 % are refused; the epoch then reads 3,000, round the
clock, of which at night (0:00 to 6:00) half are refused. Nothing changes. With `day` declared every part but those two
fills a reference of its own before it is judged. Run: python bench/unfilled_hours.py --runs 600. Exit code 1 when the
upper 95 % limit of the share with any alarm exceeds 1.5 times the budget.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from estimates.proportions import exact_limits
from monitors.metrics import Unit, metrics
from monitors.rhythm import mark, unfilled

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
REFERENCE, EVENTS, PER_DAY = 200, 3000, 240
BUDGETS = (0.05, 0.10)
BAR = 1.5


def history(run: int, budget: float) -> tuple[bool, int]:
    """Return whether the history alarms, and how many of its units were judged."""
    rng = np.random.default_rng([20261127, run])
    hours = [*np.linspace(0, 6, REFERENCE, endpoint=False), *(6 + 24 * np.arange(EVENTS) / PER_DAY)]
    at = [NOON + timedelta(hours=float(hour)) for hour in hours]
    refused = [float(rng.random() < (0.5 if moment.hour < 6 else 0.05)) for moment in at]
    units = mark([Unit(i, i, at[i], "", refused[i]) for i in range(len(at))], "day")
    how = {"alpha": budget, "horizon": EVENTS, "seed": run, "params": {}}
    tracker = metrics.get("refusal_rate").start(units[:REFERENCE], **how)
    alarm = tracker.update(units[REFERENCE:]).alarm
    assert not unfilled("day", tracker.sizes)
    return alarm, tracker.seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=600)
    args = parser.parse_args()
    worst = 0.0
    for budget in BUDGETS:
        found = [history(run, budget) for run in range(args.runs)]
        alarms, judged = sum(alarm for alarm, _ in found), found[0][1]
        low, high = exact_limits(alarms, args.runs)
        print(
            f"budget {budget}: {alarms} of {args.runs} alarm, {alarms / args.runs:.3f} [{low:.3f}, {high:.3f}]; "
            f"{judged:,} of {EVENTS:,} judged",
            flush=True,
        )
        worst = max(worst, high / budget)
    return 1 if worst > BAR else 0


if __name__ == "__main__":
    raise SystemExit(main())
