"""Every estimator keeps its nominal 95 % at hard truths; the same check finds the naive interval out.

Seeded; an interval that covers 94 % fails a cell less than once in 100,000 runs.
"""

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom

from core.types import Estimate
from estimates.corrected import corrected_rate
from estimates.means import mean, paired_difference
from estimates.proportions import difference, proportion
from estimates.quantiles import quantile
from estimates.sequences import mean_sequence, rate_sequence

pytestmark = pytest.mark.slow  # simulations, together of seconds

RUNS = 1000
ENOUGH = int(binom.ppf(1e-5, RUNS, 0.94))


def covered(draw, truth, seed=7):
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(RUNS):
        e = draw(rng)
        hits += e.low - 1e-12 <= truth <= e.high + 1e-12
    return hits


def wald(values):
    """The textbook interval, which promises 95 % and does not keep it."""
    half = 1.96 * values.std() / np.sqrt(len(values))
    return Estimate(values.mean(), values.mean() - half, values.mean() + half, len(values), "wald")


def test_the_check_finds_a_naive_interval_out():
    assert covered(lambda g: wald(g.random(100) < 0.02), 0.02) < ENOUGH


@pytest.mark.parametrize("n", [20, 50, 200, 1000])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.01, 0.03, 0.2, 0.5, 0.97, 1.0])
def test_proportion_covers_exactly(n, rate):
    found = [proportion(x, n) for x in range(n + 1)]
    inside = np.array([e.low <= rate <= e.high for e in found])
    assert binom.pmf(np.arange(n + 1), n, rate)[inside].sum() >= 0.95 - 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3, 0.5, 1.0])
def test_rate_sequence_covers_at_all_looks_together_where_single_looks_do_not(rate):
    def missed(g, limits):
        """Whether any of the looks at 20, 23, ..., 998 rows misses the rate."""
        counts = np.cumsum(g.random(1000) < rate)
        return any(not limits(int(counts[n - 1]), n) for n in range(20, 1001, 3))

    @cache
    def sequence(x, n):
        e = rate_sequence(x, n)
        return e.low <= rate <= e.high

    @cache
    def looked_once(x, n):
        e = proportion(x, n)
        return e.low <= rate <= e.high

    runs = 60
    kept = runs - sum(missed(np.random.default_rng(i), sequence) for i in range(runs))
    assert kept >= binom.ppf(1e-5, runs, 0.95)
    if rate == 0.3:
        once = runs - sum(missed(np.random.default_rng(i), looked_once) for i in range(runs))
        assert once < binom.ppf(1e-5, runs, 0.95)


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("n", [25, 100])
def test_mean_of_bounded_values_covers(n, rate):
    assert covered(lambda g: mean(np.where(g.random(n) < rate, 1, 0.3), low=0, high=1), 0.3 + 0.7 * rate) >= ENOUGH


@pytest.mark.parametrize(("high_stratum", "low_stratum"), [(0.01, 0.3), (0.3, 0.01), (0.5, 0.5), (0.0, 0.2)])
def test_weighted_mean_covers_the_population(high_stratum, low_stratum):
    """Nine tenths of the population are sampled thinly, the rest densely; the plain mean would miss."""
    probabilities = np.repeat([60 / 90_000, 300 / 10_000], [60, 300])
    rates = np.repeat([high_stratum, low_stratum], [60, 300])
    truth = 0.9 * high_stratum + 0.1 * low_stratum

    def weighted(g):
        return mean(g.random(360) < rates, low=0, high=1, probabilities=probabilities)

    assert covered(weighted, truth) >= ENOUGH
    if high_stratum != low_stratum:
        assert covered(lambda g: mean(g.random(360) < rates, low=0, high=1), truth) < ENOUGH


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_clustered_mean_covers_where_counting_rows_does_not(rate):
    names = np.repeat(np.arange(60), 5)

    def rows(g):
        return (g.random(300) < np.repeat(g.beta(0.5 * rate, 0.5 * (1 - rate), 60), 5)).astype(float)

    assert covered(lambda g: mean(rows(g), low=0, high=1, clusters=names.tolist()), rate) >= ENOUGH
    assert covered(lambda g: mean(rows(g), low=0, high=1), rate) < ENOUGH


@pytest.mark.parametrize(("won", "lost"), [(0.0, 0.0), (0.02, 0.01), (0.2, 0.2), (0.6, 0.1)])
def test_paired_difference_covers(won, lost):
    def draw(g):
        u = g.random(60)
        return paired_difference(u < won, (u >= won) & (u < won + lost))

    assert covered(draw, won - lost) >= ENOUGH


@pytest.mark.parametrize(("p", "q"), [(0.0, 0.0), (0.02, 0.0), (0.5, 0.45), (1.0, 0.9)])
def test_difference_of_two_proportions_covers(p, q):
    def draw(g):
        return difference(proportion(g.binomial(40, p), 40), proportion(g.binomial(200, q), 200))

    assert covered(draw, p - q) >= ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize("q", [0.5, 0.95])
def test_quantile_covers_with_ties_and_without(q):
    truth = -np.log(1 - q)
    assert covered(lambda g: quantile(g.exponential(size=150), q), truth) >= ENOUGH
    assert covered(lambda g: quantile(np.floor(3 * g.exponential(size=150)), q), np.floor(3 * truth)) >= ENOUGH


@pytest.mark.slow
def test_weighted_quantile_covers_the_population():
    """A thinly sampled stratum three times as slow: the plain quantile would be far too low."""
    probabilities, scale = np.repeat([0.001, 0.01], [150, 150]), np.repeat([3.0, 1.0], [150, 150])
    grid = np.linspace(0, 20, 200_001)
    share = 1 - (10 / 11) * np.exp(-grid / 3) - (1 / 11) * np.exp(-grid)
    truth = grid[np.searchsorted(share, 0.5)]

    def draw(g):
        return quantile(g.exponential(scale), 0.5, probabilities=probabilities)

    global_runs = [draw(np.random.default_rng(i)) for i in range(200)]
    assert sum(e.low <= truth <= e.high for e in global_runs) >= binom.ppf(1e-5, 200, 0.94)
    assert covered(lambda g: quantile(g.exponential(scale), 0.5), truth) < ENOUGH


@pytest.mark.parametrize(("se", "sp", "rate"), [(0.7, 0.9, 0.02), (0.9, 0.98, 0.0), (0.9, 0.95, 0.3), (1.0, 1.0, 1.0)])
def test_corrected_rate_covers_where_the_flagged_share_does_not(se, sp, rate):
    def hits(g):
        return g.binomial(400, rate * se + (1 - rate) * (1 - sp))

    def draw(g):
        found, passed = (g.binomial(80, se), 80), (g.binomial(80, sp), 80)
        return corrected_rate(hits(g), 400, sensitivity=found, specificity=passed)

    assert covered(draw, rate) >= ENOUGH
    if sp < 0.95:
        assert covered(lambda g: proportion(hits(g), 400), rate) < ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize(("gap", "noise"), [(0.0, 0.3), (0.1, 0.05)])
def test_mean_sequence_covers_at_all_looks_together_where_single_looks_do_not(gap, noise):
    def missed(g, limits):
        """Whether any look at paired differences of -1, 0 and 1, at seven sizes up to 300, misses their mean."""
        a, b = g.random(300) < noise, g.random(300) < noise + gap
        differences = b.astype(float) - a
        return any(not limits(differences[:n]) for n in (20, 30, 50, 80, 130, 200, 300))

    def inside(e):
        return e.low <= gap <= e.high

    rng, runs = np.random.default_rng(5), 150
    failed = sum(missed(rng, lambda d: inside(mean_sequence(d, low=-1, high=1))) for _ in range(runs))
    assert failed <= binom.isf(1e-4, runs, 0.05)
    naive = sum(missed(rng, lambda d: inside(mean(d, low=-1, high=1))) for _ in range(runs))
    assert naive > failed
