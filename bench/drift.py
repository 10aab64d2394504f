"""Bar M1 and M2 beside peers: false alarms, delay and CPU of drift alarms on the same resampled streams, in one run.

Compared: Trimtab's prompt-drift detector; Evidently's default for embeddings (a domain classifier, ROC AUC above 0.55,
and with `bootstrap` its hypothesis test), a rolling z-test on the mean distance to the reference's centroid, and ADWIN
(Bifet and Gavalda 2007, by river) on that distance. Evidently and the z-test look every 100 queries at the last 100, as
their users schedule them; ADWIN and Trimtab after every query. `--peer-path` names a folder with river (`pip install
--target DIR --no-deps river`); without it ADWIN is left out, and says so.

Run: python bench/drift.py --runs 50 --processes 2. Exit code 0 always: it compares, bars are drift_delay.py's.
"""

import importlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from clinc import Corpus, load, options
from drift_delay import BASES, CHANGED, HORIZON, STREAMS, split

from estimates.proportions import exact_limits
from monitors.statistics.drift import DriftDetector

EVERY = 100
Z = 3.0
CALM = 500
Rows = np.ndarray
Watch = Callable[[Rows, list[str], Rows, list[str], int], Iterator[bool]]


def trimtab(budget: float, reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """After each query, whether the detector alarms for the first time."""
    detector = DriftDetector.fit(reference, texts, alpha=budget, seed=seed, horizon=HORIZON)
    for start in range(0, len(stream), 50):
        for look in detector.update(stream[start : start + 50], later[start : start + 50]):
            yield look.alarm


def evidently(bootstrap: bool, reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """Every EVERY queries, whether Evidently's default calls the last EVERY embeddings drifted."""
    import pandas as pd
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

    judge = model(bootstrap=True) if bootstrap else model()
    for end in range(1, len(stream) + 1):
        if end % EVERY:
            yield False
        else:
            # The method changes what it is given.
            yield bool(judge(pd.DataFrame(stream[end - EVERY : end]), pd.DataFrame(reference.copy()))[1])


def rolling_z(reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """Every EVERY queries, whether the mean distance to the centroid is Z standard errors from the reference's."""
    centre = reference.mean(axis=0)
    usual = np.linalg.norm(reference - centre, axis=1)
    now = np.linalg.norm(stream - centre, axis=1)
    for end in range(1, len(stream) + 1):
        last = now[max(end - EVERY, 0) : end]
        yield end % EVERY == 0 and abs(last.mean() - usual.mean()) > Z * usual.std() / np.sqrt(EVERY)


def adwin(reference: Rows, texts: list[str], stream: Rows, later: list[str], seed: int):
    """After each query, whether ADWIN, warmed by the reference, sees a change of the distance to the centroid."""
    detector = importlib.import_module("river.drift").ADWIN()
    centre = reference.mean(axis=0)
    for row in reference:
        detector.update(float(np.linalg.norm(row - centre)))
    for row in stream:
        detector.update(float(np.linalg.norm(row - centre)))
        yield detector.drift_detected


def watch(corpus: Corpus, ways: dict[str, Watch], reference: int, base: str, job: tuple[str, int]) -> list[tuple]:
    """Return for every way: stream, name, the delay of the first alarm (None: none) and CPU ms per 100 queries."""
    name, run = job
    rng = np.random.default_rng([11, run, *name.encode()])
    if name == "no change":
        calm, _ = split(corpus, rng, base)
        before, after = calm[: reference + CALM], np.resize(calm[reference + CALM :], CHANGED)
    else:
        before, after = STREAMS[name](corpus, rng, reference + CALM, base)
    rows = np.concatenate([before[reference:], after])
    known, texts = corpus.take(before[:reference])
    stream, later = corpus.take(rows)
    out = []
    for way, start in ways.items():
        began, seen, at = time.process_time(), 0, None
        for alarm in start(known, texts, stream, later, run):
            seen += 1
            if alarm:
                at = seen - CALM
                break
        out.append((name, way, at, (time.process_time() - began) / max(seen, 1) * 100_000))
    return out


def ways_of(budget: float, peer_path: str | None, classifier: bool) -> dict[str, Watch]:
    """Return the ways to compare, by name."""
    ways: dict[str, Watch] = {"Trimtab": partial(trimtab, budget), "rolling z > 3": rolling_z}
    if classifier:
        ways |= {"Evidently default": partial(evidently, False), "Evidently bootstrap": partial(evidently, True)}
    if peer_path:
        sys.path.append(peer_path)
        ways["ADWIN (river)"] = adwin
    else:
        print("ADWIN is left out: --peer-path names no folder with river.")
    return ways


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--reference", type=int, default=1000)
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--base", choices=BASES, default="streams")
    parser.add_argument("--peer-path", help="folder with river")
    parser.add_argument("--without-evidently", action="store_true", help="leave out what takes seconds a look")
    args = parser.parse_args()
    corpus = load(args)
    ways = ways_of(args.budget, args.peer_path, not args.without_evidently)
    names = ["no change", *STREAMS]
    jobs = [(name, run) for name in names for run in range(args.runs)]
    work = partial(watch, corpus, ways, args.reference, args.base)
    with multiprocessing.get_context("fork").Pool(args.processes) as workers:
        results = [row for rows in workers.imap_unordered(work, jobs) for row in rows]
    for name in names:
        print(f"{name} ({args.runs} runs, base {args.base}, reference {args.reference}):")
        for way in ways:
            print("  " + told(way, [(at, cpu) for n, w, at, cpu in results if (n, w) == (name, way)], name))
    return 0


def told(way: str, own: list[tuple[int | None, float]], stream: str) -> str:
    """Return a line: the share of runs that alarm where nothing changes, else the delay; and the CPU."""
    cpu = np.median([cpu for _, cpu in own])
    early = sum(at is not None and (stream == "no change" or at <= 0) for at, _ in own)
    low, high = exact_limits(early, len(own))
    line = f"{way:20s} false alarms {early} of {len(own)} [{low:.3f}, {high:.3f}]"
    if stream != "no change":
        delays = [CHANGED + 1 if at is None else at for at, _ in own if at is None or at > 0]
        missed = sum(at is None for at, _ in own)
        line += f", delay {np.median(delays) if delays else float('nan'):.0f}, missed {missed} of {len(delays)}"
    return f"{line}, CPU {cpu:.1f} ms per 100"


if __name__ == "__main__":
    raise SystemExit(main())
