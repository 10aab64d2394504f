"""Real drift, on dated chat: how soon the last year of a support channel is told from an earlier one, and how often a
year is told from itself.

Units are openings: a user's first message of a day, of at least four words, in #ubuntu from 2005 to 2009. A stream is a
reference of --reference openings of a year, --calm more of that year, then those of 2009, each year in an order drawn
anew; "same year" is reference and all the rest of one year. "As it came" is one stream of all years in their true
order: no promise holds there, since neighbours in time talk about the same things. A look after every opening. Run:
python bench/irc_years.py --runs 40. Exit code 1 when the share of "same year" streams with an alarm is surely above the
budget.
"""

import argparse
import multiprocessing
from collections import Counter
from functools import partial

import numpy as np
from clinc import Corpus, embed, options, read

from estimates.proportions import exact_limits
from estimates.quantiles import quantile
from monitors.statistics.drift import DriftDetector

WORDS = 4
YEARS = ("2005", "2006", "2007", "2008", "2009")
HORIZON = 3000
NEVER = 10.0**6
Job = tuple[str, str, int]  # the year of the reference, what follows, the run


def openings(args: argparse.Namespace) -> Corpus:
    """Return every opening in the order of time; domains are years, intents days."""
    if args.data is None:
        raise SystemExit("Set TRIMTAB_DATA or --data to the folder of the public data.")
    rows = read(args.data / "ubuntu-irc" / "messages_2004_2009.jsonl.gz")
    rows = [row for row in rows if not row["is_bot"] and len(row["text"].split()) >= WORDS and row["ts"][:4] in YEARS]
    first = {}
    for row in sorted(rows, key=lambda row: row["ts"]):
        first.setdefault((row["user"], row["ts"][:10]), row)
    kept = sorted(first.values(), key=lambda row: row["ts"])
    texts = [row["text"] for row in kept]
    days = [row["ts"][:10] for row in kept]
    return Corpus(texts, embed(texts, args.encoder, args.cache), np.array([day[:4] for day in days]), np.array(days))


def watch(corpus: Corpus, reference: int, calm: int, budget: float, job: Job) -> tuple[Job, int | None, str]:
    """Return the job with how many openings after the change the alarm came (negative: too early; from the reference on
    where nothing changes), None without one, and the view that raised it.
    """
    year, then, run = job
    rng = np.random.default_rng([20261127, run, int(year)])
    rows = rng.permutation(np.flatnonzero(corpus.domains == year))
    start = 0
    if then == "last year":
        after = rng.permutation(np.flatnonzero(corpus.domains == YEARS[-1]))
        rows, start = np.concatenate([rows[: reference + calm], after]), calm
    elif then == "as it came":
        rows = np.flatnonzero(corpus.domains >= year)
    rows = rows[: reference + HORIZON]
    detector = DriftDetector.fit(*corpus.take(rows[:reference]), alpha=budget, seed=run, horizon=HORIZON)
    for first in range(reference, len(rows), 50):
        looks = detector.update(*corpus.take(rows[first : first + 50]))
        if view := next((look.view for look in looks if look.alarm), ""):
            return job, detector.alarmed_at + 1 - start, view
    return job, None, ""


def told(found: list[int | None]) -> str:
    """The median delay of those that do not alarm too early, with its limits; a miss is later than anything."""
    delays = [NEVER if at is None else float(at) for at in found if at is None or at > 0]
    middle = quantile(delays, 0.5)
    if middle.value is None or middle.low is None or middle.high is None:
        return f"{middle.needed} more needed"
    words = [f"{value:.0f}" if value < NEVER else "never" for value in (middle.value, middle.low, middle.high)]
    return f"median {words[0]} [{words[1]}, {words[2]}] of {len(delays)}"


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=700)
    parser.add_argument("--calm", type=int, default=300, help="openings of the same year before the change")
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=40, help="streams for each year")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    corpus = openings(args)
    counts = {year: int((corpus.domains == year).sum()) for year in YEARS}
    print(f"openings: {counts}", flush=True)
    jobs: list[Job] = [(year, "same year", run) for year in YEARS for run in range(args.runs)]
    jobs += [(year, "last year", run) for year in YEARS[:-1] for run in range(args.runs)]
    jobs += [(year, "as it came", 0) for year in YEARS[:-1]]
    work = partial(watch, corpus, args.reference, args.calm, args.budget)
    with multiprocessing.get_context("fork").Pool(args.processes) as workers:
        results = workers.map(work, jobs, chunksize=1)
    same = [at for (_, then, _), at, _ in results if then == "same year"]
    alarms = sum(at is not None for at in same)
    low, high = exact_limits(alarms, len(same))
    print(f"same year: {alarms} of {len(same)} streams alarm, {low:.3f} to {high:.3f}, budget {args.budget}")
    for year in YEARS[:-1]:
        found = [(at, view) for (own, then, _), at, view in results if (own, then) == (year, "last year")]
        early = sum(at is not None and at <= 0 for at, _ in found)
        missed = sum(at is None for at, _ in found)
        views = dict(Counter(view for _, view in found if view))
        print(f"{year} then {YEARS[-1]}: {told([at for at, _ in found])}; missed {missed}, too early {early}; {views}")
    for (year, then, _), at, view in results:
        if then == "as it came":
            print(f"{year} as it came: {'no alarm' if at is None else f'alarm after {at} openings'} {view}")
    return int(low > args.budget)


if __name__ == "__main__":
    raise SystemExit(main())
