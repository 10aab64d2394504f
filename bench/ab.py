"""Bar L2 (A/B): how often equals are told apart over all looks, and how soon a better version is named.

    python bench/ab.py --runs 4000

Simulated people meet one of two versions by a fixed share and dislike its answer or not; for equals at a rate that
doubles midway. A look after every person. Beside ours: a z-test of two proportions at 95 % taken at every look from the
20th disliked answer on, as dashboards do. Delays are in people of both versions, of those tests that named one. Exit
code 1 when the lower 95 % limit of our wrong verdicts is above the level.
"""

from __future__ import annotations

import argparse
import sys
from math import log

import numpy as np

from estimates.proportions import exact_limits
from retrain.versus import evidence

ALPHA, PEOPLE, FIRST = 0.05, 4000, 20
SHARES = (0.2, 0.5)
USUAL, OTHERS = 0.15, (0.05, 0.1, 0.2, 0.3)
BATCH = 200


def edges(share: float, most: int) -> tuple[np.ndarray, np.ndarray]:
    """For each number of events, from how many of the candidate's it is named worse, and up to how many better."""
    limit = log(2 / ALPHA)
    worse, better = np.full(most + 1, most + 1), np.full(most + 1, -1)
    high = low = 0
    for n in range(most + 1):
        while high <= n and evidence(high, n - high, share=share)[0] < limit:
            high += 1
        while low <= n and evidence(low, n - low, share=share)[1] >= limit:
            low += 1
        worse[n], better[n] = high, low - 1
    return worse, better


def verdicts(
    seed: int, rates: tuple[float, float], share: float, runs: int, turn: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each run the person at whom the candidate was named worse, and better (PEOPLE: never), and the z-test's."""
    worse, better = edges(share, PEOPLE)
    found = []
    for batch in range(0, runs, BATCH):
        rng = np.random.default_rng([31, seed, batch])
        shape = min(BATCH, runs - batch), PEOPLE
        arms = rng.random(shape) < share
        times = np.where(np.arange(PEOPLE) < PEOPLE / 2, 1.0, turn)
        events = rng.random(shape) < np.where(arms, *rates) * times
        n, hits, met = (np.cumsum(one, axis=1) for one in (events, events & arms, arms))
        seen = np.arange(1, PEOPLE + 1)
        others = np.maximum(seen - met, 1)
        pooled = n / seen
        error = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(met, 1) + 1 / others))
        difference = hits / np.maximum(met, 1) - (n - hits) / others
        looked = (n >= FIRST) & (met > 0) & (seen > met)
        alarms = (hits >= worse[n], hits <= better[n], looked & (np.abs(difference) > 1.96 * np.maximum(error, 1e-12)))
        found.append([np.where(alarm.any(axis=1), alarm.argmax(axis=1) + 1, PEOPLE + 1) for alarm in alarms])
    first, second, third = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, third


def main() -> int:
    """Print both tables; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000)
    runs = parser.parse_args().runs
    bad = False
    print(f"Equals disliked at {USUAL:.0%}, twice that from midway; {runs:,} tests of {PEOPLE:,} people each")
    for share in SHARES:
        worse, better, naive = verdicts(0, (USUAL, USUAL), share, runs, 2.0)
        ours = int((np.minimum(worse, better) <= PEOPLE).sum())
        low, high = exact_limits(ours, runs)
        peeked = float((naive <= PEOPLE).mean())
        bad |= low > ALPHA
        print(f"  share {share:.0%}: told apart {ours / runs:.2%} ({low:.2%} to {high:.2%}); z-test {peeked:.1%}")
    print(f"The champion is disliked at {USUAL:.0%}; people of both until the right verdict")
    for share in SHARES:
        for place, rate in enumerate(OTHERS, 1):
            worse, better, _ = verdicts(place, (rate, USUAL), share, runs)
            right, wrong = (worse, better) if rate > USUAL else (better, worse)
            named = right[right <= PEOPLE]
            median = f"{np.median(named):,.0f}" if len(named) else "none"
            print(
                f"  share {share:.0%}, candidate {rate:.0%}: named in {len(named) / runs:.1%}, median after {median}; "
                f"wrong way {float((wrong <= PEOPLE).mean()):.2%}"
            )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
