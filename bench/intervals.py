"""Bar M3: coverage and mean width of every interval in estimates/, over a grid of truths and sample sizes.

Run: python bench/intervals.py [--runs 20000] [--only mean]. Prints one line a cell, then the worst of each
estimator; exit code 1 when a nominal 95 % interval covers less than 94 % anywhere (three standard errors of
simulation allowed).
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
from scipy.special import expit
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.types import Estimate
from estimates.calibration import BINS, brier_score, calibration_error
from estimates.corrected import corrected_rate
from estimates.crossed import crossed_difference
from estimates.largest import largest_share
from estimates.means import mean, paired_difference
from estimates.proportions import difference, proportion
from estimates.quantiles import quantile
from estimates.sequences import mean_sequence, rate_sequence

BAR = 0.94
LOOKS = (20, 30, 45, 70, 100, 150, 220, 320, 460, 660, 1000)
MONTE_CARLO = 5e-4
SIZES = (20, 30, 50, 100, 300, 1000)
RATES = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8, 0.95, 0.99, 0.999, 1.0)
Draw = Callable[[np.random.Generator], tuple[Estimate, float]]
Cell = tuple[str, str, Draw]


def proportions() -> Iterator[tuple[str, float, float]]:
    """Yield (cell, exact coverage, exact mean width): every count weighted by its binomial probability."""
    for n in SIZES:
        found = [proportion(x, n) for x in range(n + 1)]
        low, high = np.array([e.low for e in found]), np.array([e.high for e in found])
        for p in RATES:
            weight = binom.pmf(np.arange(n + 1), n, p)
            yield f"n={n} p={p}", float(weight[(low <= p) & (p <= high)].sum()), float(weight @ (high - low))


def sequences(runs: int, seed: int) -> Iterator[tuple[str, float, float]]:
    """Yield (cell, share of histories without any miss at 20, 21, ..., 1,000 rows, mean width at the last)."""
    limits = {}
    for p in (0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0):
        rng = np.random.default_rng([seed, int(1000 * p)])
        kept, total = 0, 0.0
        for _ in range(runs):
            counts = np.cumsum(rng.random(1000) < p)[19:]
            for n, x in enumerate(counts.tolist(), start=20):
                if (x, n) not in limits:
                    limits[x, n] = rate_sequence(x, n)
            found = [limits[x, n] for n, x in enumerate(counts.tolist(), start=20)]
            kept += all(e.low <= p <= e.high for e in found)
            total += found[-1].high - found[-1].low
        yield f"rate {p}, 981 looks", kept / runs, total / runs


def mean_sequences(runs: int, seed: int) -> Iterator[tuple[str, float, float]]:
    """Yield (cell, share of histories without any miss at LOOKS values, mean width at the last): paired differences
    of shares with the noise and gap named.
    """
    for noise, gap in ((0.0, 0.1), (0.02, 0.0), (0.05, 0.1), (0.3, 0.0), (0.5, 0.3)):
        rng = np.random.default_rng([seed, int(100 * noise), int(100 * gap)])
        kept, total = 0, 0.0
        for _ in range(runs):
            drawn = (rng.random(LOOKS[-1]) < noise + gap).astype(float) - (rng.random(LOOKS[-1]) < noise)
            found = [mean_sequence(drawn[:n], low=-1, high=1) for n in LOOKS]
            kept += all(e.low <= gap <= e.high for e in found)
            total += found[-1].high - found[-1].low
        yield f"noise {noise} gap {gap}, {len(LOOKS)} looks", kept / runs, total / runs


def values(n: int) -> Iterator[tuple[str, Callable[[np.random.Generator], np.ndarray], float]]:
    """Yield distributions on 0 to 1 with their means: shares, rare values on a base, skewed and tight
    ones.
    """
    for p in RATES:
        yield f"share {p}", lambda g, p=p: (g.random(n) < p).astype(float), p
    for p in (0.005, 0.03, 0.1, 0.3):
        yield f"rare uniform {p}", lambda g, p=p: (g.random(n) < p) * g.random(n), p / 2
        yield f"base 0.3, {p} at 1", lambda g, p=p: np.where(g.random(n) < p, 1.0, 0.3), 0.3 + 0.7 * p
    for a, b in ((0.1, 2), (0.5, 0.5), (0.05, 0.5), (2, 30), (20, 20)):
        yield f"beta {a} {b}", lambda g, a=a, b=b: g.beta(a, b, n), a / (a + b)


def means() -> Iterator[Cell]:
    for n in SIZES:
        for name, draw, truth in values(n):
            yield "mean", f"n={n} {name}", lambda g, d=draw, m=truth: (mean(d(g), low=0, high=1), m)


def weighted() -> Iterator[Cell]:
    """Stratified samples: two strata with shares of the population, sample sizes and true rates as named."""
    for share, small, large in ((0.5, 50, 50), (0.9, 60, 300), (0.1, 30, 300), (0.97, 200, 200)):
        for a, b in ((0.0, 0.0), (0.01, 0.3), (0.02, 0.02), (0.3, 0.01), (0.5, 0.5), (1.0, 0.9), (1.0, 1.0)):
            population = 100_000
            chance = [small / (share * population), large / ((1 - share) * population)]
            probabilities = np.repeat(chance, [small, large])
            rates = np.repeat([a, b], [small, large])
            truth = share * a + (1 - share) * b

            def draw(g: np.random.Generator, r=rates, pr=probabilities, m=truth) -> tuple[Estimate, float]:
                return mean(g.random(len(r)) < r, low=0, high=1, probabilities=pr), m

            yield "weighted mean", f"{share} of population n={small}+{large} rates {a} {b}", draw


def clustered() -> Iterator[Cell]:
    """Conversations of 1 to 9 rows whose own rate varies around the truth (beta with concentration as
    named).
    """
    for units in (30, 60, 200):
        for rate in (0.005, 0.02, 0.1, 0.5, 0.98):
            for concentration in (0.5, 3.0):

                def draw(g: np.random.Generator, u=units, r=rate, c=concentration) -> tuple[Estimate, float]:
                    sizes = np.minimum(g.geometric(0.3, u), 9)
                    names = np.repeat(np.arange(u), sizes)
                    own = g.beta(c * r, c * (1 - r), u)
                    hits = g.random(len(names)) < own[names]
                    return mean(hits, low=0, high=1, clusters=names.tolist()), r

                yield "clustered mean", f"units={units} rate={rate} concentration={concentration}", draw


def pairs() -> Iterator[Cell]:
    """Right or wrong on the same items: shares won and lost as named; twins share their question's
    difficulty.
    """
    for n in SIZES:
        for won, lost in ((0, 0), (0.01, 0), (0.02, 0.02), (0.1, 0.05), (0.3, 0.2), (0.5, 0.0), (1.0, 0.0)):

            def draw(g: np.random.Generator, n=n, w=won, x=lost) -> tuple[Estimate, float]:
                u = g.random(n)
                return paired_difference(u < w, (u >= w) & (u < w + x)), w - x

            yield "paired difference", f"n={n} won={won} lost={lost}", draw
    for units in (40, 150):
        for gap in (0.0, 0.1):

            def twins(g: np.random.Generator, u=units, gap=gap) -> tuple[Estimate, float]:
                ease = np.repeat(g.beta(1, 1, u), 3)
                new = g.random(3 * u) < gap + (1 - gap) * ease
                return paired_difference(new, g.random(3 * u) < ease, clusters=np.repeat(range(u), 3)), gap / 2

            yield "paired difference", f"{units} questions x 3, gap {gap / 2}", twins


def crossed() -> Iterator[Cell]:
    """Pairs that either version alone ranks right, leaning with their prompt and person (log-odds of spread 1)."""
    for rows, prompts, people in ((96, 96, 6), (96, 48, 6), (200, 50, 12), (96, 96, 40), (250, 250, 6), (400, 80, 80)):
        for spread in (0.0, 1.0, 2.0):

            def draw(g: np.random.Generator, n=rows, p=prompts, c=people, s=spread) -> tuple[Estimate, float]:
                prompt, person = np.arange(n) % p, g.integers(0, c, n)
                lean = expit(g.normal(0, s, p)[prompt] + g.normal(0, s, c)[person])
                u = g.random(n)
                new, old = u < 0.5 * lean, (u >= 0.5 * lean) & (u < 0.5)
                return crossed_difference(new, old, prompt.tolist(), person.tolist()), 0.0

            yield "crossed difference", f"n={rows} prompts={prompts} people={people} spread={spread}", draw


def differences() -> Iterator[Cell]:
    for n, m in ((20, 20), (30, 300), (100, 100), (1000, 200)):
        for p, q in ((0, 0), (0.01, 0), (0.02, 0.02), (0.1, 0.05), (0.5, 0.4), (0.95, 0.9), (1, 0), (1, 1)):

            def draw(g: np.random.Generator, n=n, m=m, p=p, q=q) -> tuple[Estimate, float]:
                new, old = proportion(g.binomial(n, p), n), proportion(g.binomial(m, q), m)
                return difference(new, old), p - q

            yield "difference", f"n={n},{m} p={p},{q}", draw


def quantiles() -> Iterator[Cell]:
    for n in (60, 100, 300, 1000):
        for q in (0.5, 0.9, 0.95):
            for name, draw, truth in (
                ("exponential", lambda g, n=n: g.exponential(size=n), -np.log(1 - q)),
                ("rounded", lambda g, n=n: np.floor(g.exponential(3, n)), np.floor(-3 * np.log(1 - q))),
                ("constant", lambda g, n=n: np.ones(n), 1.0),
            ):
                yield "quantile", f"n={n} q={q} {name}", lambda g, d=draw, q=q, x=truth: (quantile(d(g), q), x)
    for q in (0.5, 0.9):
        probabilities = np.repeat([0.004, 0.0004], [200, 100])

        def uneven(g: np.random.Generator, q=q, pr=probabilities) -> tuple[Estimate, float]:
            return quantile(g.exponential(size=300), q, probabilities=pr), -np.log(1 - q)

        yield "weighted quantile", f"n=200+100 q={q}", uneven


def corrected() -> Iterator[Cell]:
    for n in (100, 300, 1000):
        for labelled in (50, 200):
            for se, sp in ((0.7, 0.9), (0.9, 0.98), (0.99, 0.7), (1.0, 1.0)):
                for rate in (0.0, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0):

                    def draw(g: np.random.Generator, n=n, k=labelled, se=se, sp=sp, r=rate) -> tuple[Estimate, float]:
                        hits = g.binomial(n, r * se + (1 - r) * (1 - sp))
                        found, passed = (g.binomial(k, se), k), (g.binomial(k, sp), k)
                        return corrected_rate(hits, n, sensitivity=found, specificity=passed), r

                    yield "corrected rate", f"n={n} labels={labelled} se={se} sp={sp} rate={rate}", draw


def calibrations() -> Iterator[Cell]:
    """Stated log-odds of normal size (`spread`), whose true odds are `slope` times as large; 4 pairs a prompt or 1."""
    base = np.abs(np.random.default_rng(0).normal(size=1_000_000))
    for slope in (1.0, 0.5, 0.0, -0.3, 2.0):
        for spread in (0.3, 1.5, 4.0):
            stated, true = expit(spread * base), expit(slope * spread * base)
            place = np.minimum(((stated - 0.5) * 2 * BINS).astype(int), BINS - 1)
            error = float(np.abs(np.bincount(place, true - stated, BINS)).sum() / len(base))
            score = float((true * (1 - stated) ** 2 + (1 - true) * stated**2).mean())
            for units, size in ((25, 1), (100, 1), (1000, 1), (60, 4)):

                def draw(g: np.random.Generator, k=units, m=size, a=slope, b=spread) -> np.ndarray:
                    # Pairs of one prompt are copies: the hardest dependence.
                    odds = np.abs(g.normal(0, b, k))
                    return np.repeat(expit(np.where(g.random(k) < expit(a * odds), odds, -odds)), m)

                names = np.repeat(range(units), size).tolist()
                cell = f"prompts={units} x {size} slope={slope} spread={spread}"
                yield "brier score", cell, lambda g, d=draw, c=names, x=score: (brier_score(d(g), clusters=c), x)
                # The truth is itself a mean over a million draws, known to a few ten-thousandths.
                yield (
                    "calibration error",
                    cell,
                    lambda g, d=draw, c=names, x=error: (
                        widened(calibration_error(d(g), clusters=c), MONTE_CARLO),
                        x,
                    ),
                )


def largest() -> Iterator[Cell]:
    """The largest of several shares of units of uneven size, each unit with shares of its own about the true ones."""
    shapes = {"even": np.ones(8) / 8, "one above": np.array([0.4, 0.2, 0.2, 0.2]), "one takes all": np.eye(4)[0]}
    shapes["many"] = np.full(64, 0.9 / 63)
    shapes["many"][0] = 0.1
    for title, shares in shapes.items():
        for n in (25, 60, 256):

            def draw(rng: np.random.Generator, shares: np.ndarray = shares, n: int = n) -> tuple[Estimate, float]:
                sizes = rng.integers(5, 200, n)
                own = rng.dirichlet(5 * shares + 1e-9, n)
                counts = rng.multinomial(sizes, own / own.sum(1, keepdims=True))
                sums = counts.sum(0), (counts**2).sum(0), sizes @ counts
                whole, squared = float(sizes.sum()), float((sizes**2).sum())
                return largest_share(*sums, units=n, size=whole, squared_size=squared), float(shares.max())

            yield "largest share", f"{title}, {n} units", draw


def widened(estimate: Estimate, by: float) -> Estimate:
    """The interval with the error of the simulated truth added at both ends."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=estimate.low - by, high=estimate.high + by)


FAMILIES = (means, weighted, clustered, pairs, crossed, differences, quantiles, corrected, calibrations, largest)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    worst: dict[str, tuple[float, float, str]] = {}
    failed = False
    if args.only in ("", "proportion"):
        for cell, cover, width in proportions():
            print(f"proportion\t{cell}\tcoverage {cover:.4f} (exact)\tmean width {width:.4f}")
            worst["proportion"] = min(worst.get("proportion", (2.0, 0.0, "")), (cover, width, cell))
            failed |= cover < BAR
    for name, histories in (("sequence", sequences), ("mean sequence", mean_sequences)):
        runs = max(1, args.runs // 20)
        for cell, cover, width in histories(runs, args.seed) if args.only in ("", name) else ():
            print(f"{name}\t{cell}\tcoverage {cover:.4f} of {runs}\tmean width at the end {width:.4f}", flush=True)
            worst[name] = min(worst.get(name, (2.0, 0.0, "")), (cover, width, cell))
            failed |= cover < 0.95 - 3 * sqrt(0.95 * 0.05 / runs)
    for family in FAMILIES:
        for i, (name, cell, draw) in enumerate(family()):
            if args.only not in ("", name):
                continue
            rng = np.random.default_rng([args.seed, i])
            hits = answered = 0
            total = 0.0
            for _ in range(args.runs):
                estimate, truth = draw(rng)
                if estimate.low is None or estimate.high is None:
                    continue
                answered += 1
                hits += estimate.low - 1e-12 <= truth <= estimate.high + 1e-12
                total += estimate.high - estimate.low
            cover, width = hits / max(answered, 1), total / max(answered, 1)
            print(f"{name}\t{cell}\tcoverage {cover:.4f} of {answered}\tmean width {width:.4f}", flush=True)
            if answered >= args.runs / 10:
                worst[name] = min(worst.get(name, (2.0, 0.0, "")), (cover, width, cell))
                failed |= cover < BAR - 3 * sqrt(BAR * (1 - BAR) / answered)
    for name, (cover, width, cell) in worst.items():
        print(f"worst\t{name}\t{cover:.4f}\tmean width there {width:.4f}\t{cell}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
