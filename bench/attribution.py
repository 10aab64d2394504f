"""Bar M4: whether the topic that was planted is the one that an alarm names, on resampled clinc150 streams.

Each run: a reference and unchanged queries of two domains drawn anew, then one query in seven from a single intent of a
third domain. At the detector's alarm the rows since its onset are cut into topics (monitors.topics). A run counts as
right when the first topic is significant and most of its rows are planted ones. Control: a window of the unchanged
traffic as large as a look shows (200), where nothing may be significant in 95 % of runs.

Run: python bench/attribution.py --runs 200. Exit code 1 when the control's upper limit or a planted share misses.
"""

import multiprocessing
from functools import partial

import numpy as np
from clinc import Corpus, load, options
from drift_delay import HORIZON, pool, split

from estimates.proportions import exact_limits
from monitors.statistics.drift import DriftDetector
from monitors.topics import shifted_topics

REFERENCE, CALM, CHANGED, SHARE, SHOWN = 1000, 300, 600, 1 / 7, 200
BAR_FALSE, BAR_RIGHT = 0.05, 0.9


def watch(corpus: Corpus, budget: float, run: int) -> dict[str, object]:
    """Return whether the planted intent alarmed, was named first and significantly, and the control's verdict."""
    rng = np.random.default_rng([13, run])
    usual, new = split(corpus, rng, "pairs")
    intent = rng.choice(np.unique(corpus.intents[new]))
    planted = pool(corpus, rng, *set(corpus.domains[new]))
    planted = planted[corpus.intents[planted] == intent]
    after = usual[REFERENCE + CALM : REFERENCE + CALM + CHANGED].copy()
    places = np.flatnonzero(rng.random(len(after)) < SHARE)[: len(planted)]
    after[places] = planted[: len(places)]
    rows = np.concatenate([usual[REFERENCE : REFERENCE + CALM], after])
    known, texts = corpus.take(usual[:REFERENCE])
    detector = DriftDetector.fit(known, texts, alpha=budget, seed=run, horizon=HORIZON)
    for start in range(len(rows)):
        if detector.update(*corpus.take(rows[start : start + 1]))[0].alarm:
            break
    else:
        return {"alarmed": False, "control": control(corpus, usual, run)}
    since = rows[max(detector.onset(), 0) : detector.seen]
    current, said = corpus.take(since)
    first = shifted_topics(known, texts, current, said, seed=run)[0]
    named = corpus.intents[since[list(first.rows)]] == intent if first.rows else np.zeros(0, bool)
    return {
        "alarmed": True,
        "significant": first.p <= 0.05,
        "right": bool(named.size and named.mean() > 0.5),
        "control": control(corpus, usual, run),
    }


def control(corpus: Corpus, usual: np.ndarray, run: int) -> bool:
    """Return whether anything is called significant in a window of unchanged traffic."""
    known, texts = corpus.take(usual[:REFERENCE])
    current, said = corpus.take(usual[REFERENCE : REFERENCE + SHOWN])
    return any(shift.p <= 0.05 for shift in shifted_topics(known, texts, current, said, seed=run))


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    corpus = load(args)
    with multiprocessing.get_context("fork").Pool(args.processes) as workers:
        found = workers.map(partial(watch, corpus, args.budget), range(args.runs), chunksize=2)
    alarmed = [row for row in found if row["alarmed"]]
    right = sum(row["right"] and row["significant"] for row in alarmed)
    false = sum(row["control"] for row in found)
    first, last = exact_limits(right, len(alarmed))
    low, high = exact_limits(false, len(found))
    print(f"planted topic: {len(alarmed)} of {len(found)} runs alarm; named first and significant in {right}, ", end="")
    print(f"{right / len(alarmed):.3f} [{first:.3f}, {last:.3f}]; first but not significant in ", end="")
    print(sum(row["right"] and not row["significant"] for row in alarmed))
    print(f"control: something significant in {false} of {len(found)} runs, {low:.3f} to {high:.3f}, bar {BAR_FALSE}")
    return 1 if false > BAR_FALSE * len(found) or right < BAR_RIGHT * len(alarmed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
