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

# Novelty shows in very small p-values; a rate of 0 or 1 values shifts the p-values' density at about the
# rate.
NOVEL_LEVELS: tuple[float, ...] = tuple(2.0**-k for k in range(4, 11))
RATE_LEVELS: tuple[float, ...] = tuple(2.0**-k for k in range(1, 9))
STAKES: tuple[float, ...] = (0.05, 0.15, 0.5)
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
    < q and p >= q for "change", for each level q and each stake.
    """
    borders = edges(side)
    cells = len(borders) + 1
    below = [(i, q) for i, q in enumerate(borders) if side != "both" or q < 0.5]
    above = [(i, q) for i, q in enumerate(borders) if side != "both" or q > 0.5]
    columns = []
    for s in STAKES:
        if side != "fall":
            columns += [[1 - s + s / q * (cell <= i) for cell in range(cells)] for i, q in below]
        if side not in ("small", "rise"):
            columns += [[1 - s + s / (1 - q) * (cell > i) for cell in range(cells)] for i, q in above]
    return np.array(columns).T


def pay(p: Floats, side: Side) -> Floats:
    """Return what every bet pays on every p-value: shape (len(p), bets)."""
    return odds(side)[np.searchsorted(edges(side), p, side="right")]


class Wagers:
    """Shiryaev-Roberts mixtures of bets, one a column of p-values: S = mean over bets of (S_bet + 1) x
    payoff.

    Levels are the statistics over their thresholds; while every column is uniform and independent in time,
    the probability that column v ever reaches 1 is at most the alpha that its threshold was made for.
    """

    def __init__(self, sides: Sequence[Side], limits: ArrayLike) -> None:
        self.sides = tuple(sides)
        self.limits = np.array(limits, float)
        widest = max(odds(side).shape[1] for side in self.sides)
        # Bets of narrower sides are repeated to fill the row; a mixture's mean does not change by that.
        self._tables = [np.resize(odds(side).T, (widest, odds(side).shape[0])).T for side in self.sides]
        if any(widest % odds(side).shape[1] for side in self.sides):
            raise ValueError(f"The bets of {self.sides} do not fit one array.")
        self.state = np.zeros((len(self.sides), widest))
        self._ceiling = (HELD * widest * self.limits)[:, None]

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
            out[i] = self.state.mean(axis=1)
        levels: Floats = out / self.limits
        return levels


def simulate_maxima(side: Side, horizons: list[int], runs: int, rng: np.random.Generator) -> Floats:
    """Return the statistic's maximum up to each horizon under uniform p-values: shape (runs, horizons)."""
    table = odds(side).astype(np.float32)
    borders = edges(side).astype(np.float32)
    weights = np.full(table.shape[1], 1 / table.shape[1], np.float32)
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
            np.maximum(top, state @ weights, out=top)
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
