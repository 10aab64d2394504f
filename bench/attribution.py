"""Bar M4: whether the topic that was planted is the one that an alarm names, on resampled clinc150 streams.

Each run: a reference and unchanged queries of two domains drawn anew, then one query in seven from a single intent of a
third domain. At the detector's alarm the rows since its onset are attributed (monitors.topics). A run counts as right
when the first topic is significant and most of its rows are planted ones.

Control: windows of unchanged traffic against a reference of 1,000, of the same queries and of one year's openings of
#ubuntu (irc_years.py), where anything is significant with a probability of at most 5 %, as the correction is exact.

Run: python bench/attribution.py --runs 200. Exit code 1 when a control is surely above it or the planted share misses.
"""

import multiprocessing
from functools import partial

import numpy as np
from clinc import Corpus, load, options
from drift_delay import HORIZON, pool, split
from irc_years import YEARS, openings

from estimates.proportions import exact_limits
from monitors.statistics.drift import DriftDetector
from monitors.topics import SIGNIFICANT, shifted_topics

REFERENCE, CALM, CHANGED, SHARE = 1000, 300, 600, 1 / 7
WINDOWS = (50, 200, 800)
LONG_YEARS = YEARS[:-1]  # the last has too few openings for a reference and the largest window
BAR_RIGHT = 0.9


def watch(corpus: Corpus, budget: float, run: int) -> dict[str, float] | None:
    """Return at the alarm whether the topic named first is significant, right, and which shares of its rows and of the
    planted ones are in both; None without an alarm.
    """
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
        return None
    since = rows[max(detector.onset(), 0) : detector.seen]
    current, said = corpus.take(since)
    first = next(iter(shifted_topics(known, texts, current, said, seed=run)), None)
    if first is None:
        return {"window": len(since), "significant": False, "right": False}
    is_planted = corpus.intents[since] == intent
    named = is_planted[list(first.rows)]
    return {
        "window": len(since),
        "significant": first.p <= SIGNIFICANT,
        "right": bool(named.size and named.mean() > 0.5),
        "precision": named.mean() if named.size else 0,
        "recall": named.sum() / max(is_planted.sum(), 1),
    }


def control(corpora: dict[str, Corpus], job: tuple[str, int, int]) -> bool:
    """Return whether anything is called significant in a window of unchanged traffic."""
    name, window, run = job
    rng = np.random.default_rng([17, window, run, *name.encode()])
    if name == "clinc150":
        usual, _ = split(corpora[name], rng, "pairs")
    else:
        usual = pool(corpora[name], rng, LONG_YEARS[run % len(LONG_YEARS)])
    known, texts = corpora[name].take(usual[:REFERENCE])
    current, said = corpora[name].take(usual[REFERENCE : REFERENCE + window])
    return any(shift.p <= SIGNIFICANT for shift in shifted_topics(known, texts, current, said, seed=run))


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--control-runs", type=int, default=400, help="windows of each size and source")
    args = parser.parse_args()
    corpora = {"clinc150": load(args), "ubuntu-irc": openings(args)}
    jobs = [(name, window, run) for name in corpora for window in WINDOWS for run in range(args.control_runs)]
    with multiprocessing.get_context("fork").Pool(args.processes) as workers:
        falsely = workers.map(partial(control, corpora), jobs, chunksize=10)
        found = workers.map(partial(watch, corpora["clinc150"], args.budget), range(args.runs), chunksize=2)
    surely = False
    for name in corpora:
        for window in WINDOWS:
            own = [was for job, was in zip(jobs, falsely, strict=True) if job[:2] == (name, window)]
            low, high = exact_limits(sum(own), len(own))
            surely |= low > SIGNIFICANT
            print(f"control: {name}, windows of {window}: something significant in {sum(own)} of {len(own)}, ", end="")
            print(f"{sum(own) / len(own):.3f} [{low:.3f}, {high:.3f}], promised {SIGNIFICANT}")
    alarmed = [row for row in found if row]
    named = [row for row in alarmed if row["right"] and row["significant"]]
    first, last = exact_limits(len(named), len(alarmed))
    print(f"planted topic: {len(alarmed)} of {len(found)} runs alarm, rows since the onset: quartiles ", end="")
    print(
        f"{np.percentile([row['window'] for row in alarmed], [25, 50, 75]).tolist()}; named first and significant in ",
        end="",
    )
    print(
        f"{len(named)}, {len(named) / len(alarmed):.3f} [{first:.3f}, {last:.3f}], bar {BAR_RIGHT}; first and not ",
        end="",
    )
    print(
        f"significant in {sum(row['right'] and not row['significant'] for row in alarmed)}; something else first and ",
        end="",
    )
    print(f"significant in {sum(row['significant'] and not row['right'] for row in alarmed)}")
    means = [np.mean([row[key] for row in named]) for key in ("precision", "recall")]
    print(f"of the rows of a topic so named {means[0]:.3f} are planted, of the planted rows {means[1]:.3f} are in it")
    return int(surely or len(named) < BAR_RIGHT * len(alarmed))


if __name__ == "__main__":
    raise SystemExit(main())
