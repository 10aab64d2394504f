"""Bar M1 and M2 beside peers: false alarms, delay and CPU of drift alarms on the same resampled streams, in one run.

Compared: Trimtab's prompt-drift detector at its budget; Evidently's default for embeddings (a domain classifier, ROC
AUC above 0.55, or its hypothesis test where the reference has fewer than 1,000 rows); a rolling z-test on the mean
distance to the reference's centroid, at 3; and ADWIN (Bifet and Gavalda 2007, by river, at its default delta of 0.002)
on that distance. Evidently and the z-test look every 100 queries at the last 100, as their users schedule them; ADWIN
and Trimtab after every query. Each peer is shown twice: as shipped, and at the threshold that lets it alarm in no more
than the budget's share of as many further unchanged streams, so that delays are compared at the same false alarms.
ADWIN's CPU is that of all the deltas tried, at once.

Streams are those of drift_delay.py (500 unchanged queries, then 1,500 changed ones), and one of 3,000 unchanged ones.
`--peer-path` names a folder with river (`pip install --target DIR --no-deps river`); without it ADWIN is left out, and
says so. Run: python bench/drift.py --runs 60 --processes 2 --peer-path DIR. Resumable: every finished stream is a line
of <cache>/drift-peers.jsonl; --fresh forgets them. Exit code 0 always: it compares, bars are drift_delay.py's.
"""

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from clinc import Corpus, load
from drift_delay import BASES, CHANGED, HORIZON, STREAMS, split
from histories import Job, Outcome, code, finish, numbers, options

from estimates.proportions import exact_limits
from estimates.quantiles import quantile
from monitors.statistics.drift import DriftDetector

EVERY = 100
CALM = 500
# Unchanged streams: one kind to count false alarms on, the other to set the peers' thresholds on.
UNCHANGED, SETTING = "no change", "no change, for the thresholds"
# ADWIN's delta bounds its false alarms at one cut; half powers of ten around the default.
DELTA = 0.002
DELTAS = tuple(DELTA * 10 ** (-k / 2) for k in range(-4, 17))
Rows = np.ndarray
# After each query, the score of a look that ended with it, or None; a higher one speaks for a change.
Watch = Callable[[Rows, list[str], Rows, list[str], int], Iterator[float | None]]


def trimtab(budget: float, reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """Trimtab: the detector's level, which alarms at 1; it is watched no further then."""
    detector = DriftDetector.fit(reference, texts, alpha=budget, seed=seed, horizon=HORIZON)
    for start in range(0, len(stream), 50):
        for look in detector.update(stream[start : start + 50], later[start : start + 50]):
            yield look.level
            if look.alarm:
                return


def evidently(model: Callable[..., Any], reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """Evidently: the ROC AUC of its default for embeddings on the last EVERY ones, and 1 more where it says drifted."""
    import pandas as pd

    judge = model(bootstrap=len(reference) < 1000)  # as its EmbeddingsDriftMetric chooses
    for end in range(1, len(stream) + 1):
        if end % EVERY:
            yield None
        else:
            # The method changes what it is given.
            score, drifted, _ = judge(pd.DataFrame(stream[end - EVERY : end]), pd.DataFrame(reference.copy()))
            yield float(score) + bool(drifted)


def rolling_z(reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """A rolling z-test: by how many standard errors the mean distance to the centroid differs from the reference's."""
    centre = reference.mean(axis=0)
    usual = np.linalg.norm(reference - centre, axis=1)
    middle, error = usual.mean(), usual.std() / np.sqrt(EVERY)
    now = np.linalg.norm(stream - centre, axis=1)
    for end in range(1, len(stream) + 1):
        yield None if end % EVERY else float(abs(now[end - EVERY : end].mean() - middle) / error)


def adwin(make: Callable[..., Any], reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """ADWIN, warmed by the reference, on the distance to the centroid: -log10 of the least delta that sees a change."""
    detectors = {float(-np.log10(delta)): make(delta=delta) for delta in DELTAS}
    centre = reference.mean(axis=0)
    for distance in np.linalg.norm(reference - centre, axis=1).tolist():
        for detector in detectors.values():
            detector.update(distance)
    for distance in np.linalg.norm(stream - centre, axis=1).tolist():
        for detector in detectors.values():
            detector.update(distance)
        yield max((score for score, detector in detectors.items() if detector.drift_detected), default=None)


def ways_of(args: argparse.Namespace) -> dict[str, tuple[Watch, float]]:
    """Return the ways to compare with the score from which each alarms as shipped, by name."""
    ways: dict[str, tuple[Watch, float]] = {
        "Trimtab": (partial(trimtab, args.budgets[0]), 1.0),
        "rolling z": (rolling_z, 3.0),
    }
    if not args.without_evidently:
        methods = importlib.import_module("evidently.legacy.metrics.data_drift.embedding_drift_methods")
        ways["Evidently"] = (partial(evidently, methods.model), 1.0)
    if args.peer_path:
        sys.path.append(args.peer_path)
        make = importlib.import_module("river.drift").ADWIN
        ways["ADWIN (river)"] = (partial(adwin, make), float(-np.log10(DELTA)))
    else:
        print("ADWIN is left out: --peer-path names no folder with river.")
    return ways


def watch(
    corpus: Corpus, ways: Mapping[str, tuple[Watch, float]], reference: int, base: str, job: Job
) -> dict[str, object]:
    """Return for every way its scores on one stream that pass all before them, and its CPU ms per 100 queries."""
    name = job["stream"]
    rng = np.random.default_rng([11, job["run"], *name.encode()])
    if name in STREAMS:
        before, after = STREAMS[name](corpus, rng, reference + CALM, base)
    else:
        before, after = split(corpus, rng, base)[0][: reference + HORIZON], np.empty(0, int)
    known, texts = corpus.take(before[:reference])
    stream, later = corpus.take(np.concatenate([before[reference:], after]))
    out: Outcome = {}
    for way, (start, _) in ways.items():
        if name == SETTING and way == "Trimtab":
            continue
        began, seen, tops = time.process_time(), 0, [(0, 0.0)]
        for seen, score in enumerate(start(known, texts, stream, later, job["run"]), start=1):
            if score is not None and score > tops[-1][1]:
                tops.append((seen, score))
        out[way] = {"tops": tops[1:], "cpu_ms": (time.process_time() - began) / seen * 100_000}
    return out


def first(outcome: Outcome, way: str, limit: float) -> int | None:
    """Return after how many queries `way` first scores `limit` or more."""
    return next((seen for seen, score in outcome[way]["tops"] if score >= limit), None)


def limit_at(budget: float, own: list[Outcome], way: str) -> float:
    """Return the lowest score that at most a share `budget` of the unchanged streams `own` reaches."""
    highest = sorted((max((score for _, score in row[way]["tops"]), default=0.0) for row in own), reverse=True)
    return float(np.nextafter(highest[int(budget * len(own))], np.inf))


def told(title: str, own: list[Outcome], way: str, limit: float) -> str:
    """Return a line: how many streams alarm before anything changes, then the delay of the others, or the CPU."""
    changed = own[0]["stream"] in STREAMS
    at = [first(row, way, limit) for row in own]
    early = sum(seen is not None and (not changed or seen <= CALM) for seen in at)
    low, high = exact_limits(early, len(own))
    line = f"{title:32s} false alarms {early} of {len(own)} [{low:.3f}, {high:.3f}]"
    if changed:
        # A miss counts as longer than any delay seen.
        delays = [CHANGED + 1 if seen is None else seen - CALM for seen in at if seen is None or seen > CALM]
        median = quantile(delays, 0.5)
        return f"{line}, delay {median.value} [{median.low}, {median.high}], missed {at.count(None)} of {len(delays)}"
    # On changed streams what is stopped at the first alarm pays for its reference by few queries.
    return f"{line}, CPU {np.median([row[way]['cpu_ms'] for row in own]):.1f} ms per 100, the reference included"


def main() -> int:
    parser = options(__doc__, runs=60)
    parser.set_defaults(budgets=[0.05])
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--base", choices=BASES, default="streams")
    parser.add_argument("--peer-path", help="folder with river")
    parser.add_argument("--without-evidently", action="store_true", help="leave out what takes seconds a stream")
    args = parser.parse_args()
    ways = ways_of(args)
    setting = {
        "reference": args.reference,
        "base": args.base,
        "budget": args.budgets[0],
        "ways": list(ways),
        "code": code("monitors/statistics", "bench/drift.py", "bench/drift_delay.py"),
    }
    names = [UNCHANGED, SETTING, *STREAMS]
    jobs = [{"stream": name, "run": run} for run in numbers(args) for name in names]
    done = finish(args, "drift-peers.jsonl", setting, jobs, partial(watch, load(args), ways, args.reference, args.base))
    by = {name: [row for row in done if row["stream"] == name] for name in names}
    limits = {way: limit_at(args.budgets[0], by[SETTING], way) for way in ways if way != "Trimtab"}
    for name in (UNCHANGED, *STREAMS):
        print(f"{name} ({args.runs} streams, base {args.base}, reference {args.reference}):")
        for way, (_, shipped) in ways.items():
            print("  " + told(way if way == "Trimtab" else f"{way}, as shipped", by[name], way, shipped))
            if way in limits:
                print("  " + told(f"{way}, from {limits[way]:.3f}", by[name], way, limits[way]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
