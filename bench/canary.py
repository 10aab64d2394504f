"""Bar L2 (canary): wrong rollbacks over all looks of 1,000 canaries, and the delay until a regression ends one.

    python bench/canary.py --runs 1000

Simulated people meet the candidate by chance, dislike, are refused or get an error; for the wrong rollbacks at rates
that double midway for both versions alike. Looks after every event. Beside ours: a z-test at 95 % taken at every look,
as dashboards do, and two confidence sequences until they part. Then the whole judge with its horizon and margin, looked
at every 25 people: how often each candidate goes live, and after how many answers. Delays are in people who met the
candidate; everybody judges (where one in ten does, ten times as many are needed). Exit code 1 when the lower 95 % limit
of the wrong rollbacks is above the level.
"""

from __future__ import annotations

import argparse
import sys
from math import log

import numpy as np

from estimates.allocation import excess_evidence
from estimates.proportions import exact_limits
from estimates.quantiles import quantile
from estimates.sequences import rate_sequence
from retrain.canary import MEASURES, Tally, judge

ALPHA, MARGIN, WANTED = 0.05, 0.1, 200
USUAL = {"negative_feedback": 0.1, "refusal_rate": 0.03, "errors": 0.01}
SHARES = (5, 20, 50)
RISES = (0.05, 0.1, 0.2)
MOST = 1000  # people who meet the candidate before a run is given up
LOOK = 25


def people(
    rng: np.random.Generator, share: float, rise: float, turn: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Who met the candidate, and what went wrong for whom; `rise` is added to what people dislike of it."""
    number = int(MOST / share)
    candidate = rng.random(number) < share
    later = np.where(np.arange(number) < number / 2, 1.0, turn)
    went = {}
    for name, rate in USUAL.items():
        more = rise if name == "negative_feedback" else 0.0
        went[name] = rng.random(number) < np.minimum(rate * later + more * candidate, 1.0)
    return candidate, went


def ended(candidate: np.ndarray, went: dict[str, np.ndarray], share: float) -> tuple[int | None, bool]:
    """How many had met the candidate when it was proved worse (None: never), and whether the z-test ever said so."""
    limit, first, naive = log(len(MEASURES) / ALPHA), len(candidate), False
    for event in went.values():
        at = np.flatnonzero(event)
        hits, n = np.cumsum(candidate[at]), np.arange(1, len(at) + 1)
        naive |= bool(np.any((hits - n * share) / np.sqrt(n * share * (1 - share)) > 1.645))
        for place, one, total in zip(at.tolist(), hits.tolist(), n.tolist(), strict=True):
            if place >= first:
                break
            if excess_evidence(one, total, share) >= limit:
                first = place
                break
    return (int(candidate[: first + 1].sum()) if first < len(candidate) else None), naive


def parted(candidate: np.ndarray, went: dict[str, np.ndarray], share: float) -> int | None:
    """How many had met the candidate when its interval lay above the champion's, at the same error a measure."""
    level = 1 - ALPHA / len(MEASURES) / 2
    event = went["negative_feedback"]
    for seen in range(LOOK, len(candidate) + 1, LOOK):
        met = candidate[:seen]
        theirs = rate_sequence(int(event[:seen][met].sum()), int(met.sum()), level=level)
        ours = rate_sequence(int(event[:seen][~met].sum()), int((~met).sum()), level=level)
        if theirs.low is not None and ours.high is not None and theirs.low > ours.high:
            return int(met.sum())
    return None


def outcome(candidate: np.ndarray, went: dict[str, np.ndarray], share: float) -> tuple[str, int]:
    """What the whole judge made of a canary (go, worse, or wait at the end), and after how many answers."""
    answered = 0
    for seen in range(LOOK, len(candidate) + 1, LOOK):
        met = candidate[:seen]
        answered = int(met.sum())
        pairs = {
            name: (
                Tally(answered, int(event[:seen][met].sum())),
                Tally(seen - answered, int(event[:seen][~met].sum())),
            )
            for name, event in went.items()
        }
        found = judge(pairs, share=share, wanted=WANTED, alpha=ALPHA, margin=MARGIN)
        if found.outcome != "wait":
            return found.outcome, answered
    return "wait", answered


def told(count: int, number: int) -> str:
    low, high = exact_limits(count, number)
    return f"{count} of {number}, {count / number:.3f} [{low:.3f}, {high:.3f}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--delays", type=int, default=200)
    parser.add_argument("--parted", type=int, default=100)
    parser.add_argument("--whole", type=int, default=100)
    given = parser.parse_args()
    failed = False
    for percent in SHARES:
        share = percent / 100
        calm = [
            ended(*people(np.random.default_rng([run, percent]), share, 0.0, 2.0), share) for run in range(given.runs)
        ]
        wrong = sum(at is not None for at, _ in calm)
        naive = sum(said for _, said in calm)
        failed |= exact_limits(wrong, given.runs)[0] > ALPHA
        print(f"{percent} %: no worse, rolled back in {told(wrong, given.runs)}; z-test: {told(naive, given.runs)}")
        for rise in RISES:
            delays = []
            for run in range(given.delays):
                rng = np.random.default_rng([run, percent, int(rise * 100)])
                delays.append(ended(*people(rng, share, rise, 1.0), share)[0])
            met = [MOST + 1 if one is None else one for one in delays]
            middle = quantile(met, 0.5)
            within = sum(one <= WANTED for one in met)
            print(
                f"  +{100 * rise:.0f} points: median {middle.value:.0f} [{middle.low:.0f}, {middle.high:.0f}] met the "
                f"candidate; within {WANTED} in {told(within, given.delays)}; never in {delays.count(None)}"
            )
    share = 0.2
    for rise in RISES[1:]:
        seeds = [np.random.default_rng([run, 20, int(rise * 100)]) for run in range(given.parted)]
        waits = [parted(*people(rng, share, rise, 1.0), share) for rng in seeds]
        middle = np.median([MOST + 1 if one is None else one for one in waits]) if waits else float("nan")
        print(f"20 %, +{100 * rise:.0f} points: two intervals part at {middle:.0f} in the median of {given.parted}")
    for rise in (0.0, 0.02, *RISES[:2], 0.15):
        ends = []
        for run in range(given.whole):
            rng = np.random.default_rng([run, 7, int(rise * 100)])
            ends.append(outcome(*people(rng, share, rise, 1.0), share))
        live = [answers for what, answers in ends if what == "go"]
        back = sum(what == "worse" for what, _ in ends)
        after = f", after {np.median(live):.0f} answers in the median" if live else ""
        print(
            f"20 %, margin {MARGIN}, +{100 * rise:.0f} points: live {told(len(live), given.whole)}{after}; "
            f"rolled back {told(back, given.whole)}; undecided at {MOST}: {given.whole - len(live) - back}"
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
