"""Bets on uniform p-values, mixed into a Shiryaev-Roberts statistic, and the thresholds of its promise.

A monitor whose p-values are independent and uniform while nothing changes bets against them with the
functions here; the law of the statistic's maximum is then known and free of the data.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from core.errors import InvalidInput

Floats = NDArray[np.float64]
Side = Literal["small", "both", "rise", "fall", "change"]
ABOVE, SPREAD = ("both", "fall", "change"), ("small", "both")

# Novelty shows in very small p-values; a rate of 0 or 1 values shifts the p-values' density at about the
# rate.
NOVEL_LEVELS: tuple[float, ...] = tuple(2.0**-k for k in range(4, 11))
RATE_LEVELS: tuple[float, ...] = tuple(2.0**-k for k in range(1, 9))
STAKES: tuple[float, ...] = (0.05, 0.15, 0.5)
# A few strange prompts among many usual ones call for stakes about as small as their share.
SPREAD_STAKES: tuple[float, ...] = (1 / 32, 1 / 8, 1 / 2)
CONFIDENCE = 0.999
# A single bet this many times over the alarm is held there, so that the statistic falls once a change is
# over.
HELD = 100.0


@cache
def edges(side: Side) -> Floats:
    """Return the borders between the cells of `odds`, ascending; a p-value equal to a border is above it."""
    marks = np.array(sorted(NOVEL_LEVELS if side in ("small", "both") else RATE_LEVELS))
    return np.concatenate([marks, 1 - marks[::-1]]) if side == "both" else marks


@cache
def odds(side: Side) -> Floats:
    """Return what each bet pays, by the cell between `edges` that the p-value falls in: shape (cells, bets).

    A bet of stake s on a set of probability w pays 1 - s + s [p in the set] / w, whose mean is 1 under a
    uniform p. The sets: p < q for "small" and "rise"; p < q and p >= 1 - q for "both"; p >= q for "fall"; p
    < q and p >= q for "change", for each level q and each stake: what a share of prompts that moved into one
    cell calls for. The last bets of "small" and "both" spread a stake evenly over the sets of all levels, which comes
    near every density that falls from 0: what prompts unlike all others call for, however far they are out.
    """
    borders = edges(side)
    cells = np.arange(len(borders) + 1)
    marks = list(enumerate(borders))
    falls = [[(cells <= i) / q for i, q in marks if side != "both" or q < 0.5]] if side != "fall" else []
    rises = [[(cells > i) / (1 - q) for i, q in marks if side != "both" or q > 0.5]] if side in ABOVE else []
    columns = [1 - s + s * pays for s in STAKES for sets in falls + rises for pays in sets]
    if side in SPREAD:
        columns += [1 - s + s * np.mean(sets, axis=0) for sets in falls + rises for s in SPREAD_STAKES]
    return np.array(columns).T


@cache
def weights(side: Side) -> Floats:
    """Return the share of each bet in the mixture, of sum 1: half for spread bets where there are any."""
    bets = odds(side).shape[1]
    if side not in SPREAD:
        return np.full(bets, 1 / bets)
    spread = len(SPREAD_STAKES) * (2 if side == "both" else 1)
    return np.repeat([0.5 / (bets - spread), 0.5 / spread], [bets - spread, spread])


def pay(p: Floats, side: Side) -> Floats:
    """Return what every bet pays on every p-value: shape (len(p), bets)."""
    return odds(side)[np.searchsorted(edges(side), p, side="right")]


class Wagers:
    """Shiryaev-Roberts mixtures of bets, one a column of p-values: S is the weighted mean over bets of S_bet, which
    each p-value makes (S_bet + 1) x payoff.

    Levels are the statistics over their thresholds; while every column is uniform and independent in time,
    the probability that column v ever reaches 1 is at most the alpha that its threshold was made for.
    """

    def __init__(self, sides: Sequence[Side], limits: ArrayLike) -> None:
        self.sides = tuple(sides)
        self.limits = np.array(limits, float)
        widest = max(odds(side).shape[1] for side in self.sides)
        self._tables, self._weights = [], np.zeros((len(self.sides), widest))
        for share, side in zip(self._weights, self.sides, strict=True):
            table = np.ones((len(odds(side)), widest))
            table[:, : odds(side).shape[1]] = odds(side)
            self._tables.append(table)
            share[: odds(side).shape[1]] = weights(side)
        self.state = np.zeros((len(self.sides), widest))
        self._ceiling = HELD * self.limits[:, None] / np.maximum(self._weights, 1 / (widest * HELD))

    def update(self, p: Floats) -> Floats:
        """Return the level of every column after each row of p-values: both of shape (n, columns)."""
        payoffs = np.stack(
            [
                table[np.searchsorted(edges(side), p[:, v], side="right")]
                for v, (side, table) in enumerate(zip(self.sides, self._tables, strict=True))
            ],
            axis=1,
        )
        out = np.empty(p.shape)
        for i, payoff in enumerate(payoffs):
            self.state += 1
            self.state *= payoff
            np.minimum(self.state, self._ceiling, out=self.state)
            out[i] = (self.state * self._weights).sum(axis=1)
        levels: Floats = out / self.limits
        return levels


def simulate_maxima(side: Side, horizons: list[int], runs: int, rng: np.random.Generator) -> Floats:
    """Return the statistic's maximum up to each horizon under uniform p-values: shape (runs, horizons)."""
    table = odds(side).astype(np.float32)
    borders = edges(side).astype(np.float32)
    shares = weights(side).astype(np.float32)
    out = np.empty((runs, len(horizons)))
    column = {h: i for i, h in enumerate(horizons)}
    for start in range(0, runs, 1500):
        n = min(1500, runs - start)
        state = np.zeros((n, table.shape[1]), np.float32)
        top = np.zeros(n, np.float32)
        for t in range(1, max(horizons) + 1):
            cell = np.searchsorted(borders, rng.random(n, np.float32), side="right")
            state += 1
            state *= table[cell]
            np.minimum(state, 1e30, out=state)
            np.maximum(top, state @ shares, out=top)
            if t in column:
                out[start : start + n, column[t]] = top
    return out


def upper_quantiles(maxima: Floats, alphas: list[float]) -> Floats:
    """Return for each alpha an upper confidence limit of the 1 - alpha quantile; infinite with too few runs.

    The limit is the k-th largest of the n simulated maxima with the largest k for which
    P(Binomial(n, alpha) < k) <= 1 - CONFIDENCE (distribution-free, David and Nagaraja, Order Statistics,
    7.1).
    """
    largest = np.sort(maxima)[::-1]
    out = np.empty(len(alphas))
    for i, alpha in enumerate(alphas):
        k = int(binom.ppf(1 - CONFIDENCE, len(largest), alpha))
        while k > 0 and binom.cdf(k - 1, len(largest), alpha) > 1 - CONFIDENCE:
            k -= 1
        out[i] = largest[k - 1] if k > 0 else np.inf
    return out


@cache
def _table() -> dict[str, object]:
    loaded: dict[str, object] = json.loads(files(__package__).joinpath("thresholds.json").read_text("utf-8"))
    return loaded


def threshold(side: Side, alpha: float, horizon: int) -> float:
    """Return A with P(max over `horizon` events of the statistic >= A) <= alpha while nothing changes.

    Read from the packaged table (simulated free of data by bench/drift_thresholds.py) at the next larger
    horizon and the next smaller alpha; outside the table Doob's bound horizon / alpha. Raises InvalidInput
    on an alpha outside (0, 1) or a horizon below 1.
    """
    if not 0 < alpha < 1 or horizon < 1:
        raise InvalidInput(
            f"A false-alarm share of {alpha} over {horizon} events is not a promise that can be kept.",
            "Give a share between 0 and 1 and a horizon of at least one event.",
        )
    doob = horizon / alpha
    table = _table()
    horizons, alphas = np.array(table["horizons"]), np.array(table["alphas"])
    h = int(np.searchsorted(horizons, horizon))
    a = int(np.searchsorted(alphas, alpha, side="right")) - 1
    if h == len(horizons) or a < 0:
        return doob
    return min(doob, float(table[side][h][a]))  # type: ignore[index]
