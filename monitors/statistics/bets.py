"""Bets on uniform p-values, mixed into a Shiryaev-Roberts statistic, and the thresholds of its promise.

A monitor whose p-values are independent and uniform while nothing changes bets against them with the
functions here; the law of the statistic's maximum is then known and free of the data.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from core.errors import TrimtabError

Floats = NDArray[np.float64]
Side = Literal["small", "both"]

LEVELS: tuple[float, ...] = tuple(2.0**-k for k in range(4, 11))
STAKES: tuple[float, ...] = (0.05, 0.15, 0.5)
CEILING = 1e200
CONFIDENCE = 0.999


@cache
def odds(side: Side) -> Floats:
    """Return what each bet pays, by the cell the p-value falls in: shape (cells, bets).

    A bet (q, s) pays 1 - s + s [p < q] / q, whose mean is 1 under a uniform p. Side "small" bets on small
    p-values only (8 cells, 21 bets); "both" adds the same bets on 1 - p (15 cells, 42 bets).
    """
    marks = sorted(LEVELS)
    small = np.array(
        [[1 - s + (s / q if cell <= i else 0.0) for i, q in enumerate(marks) for s in STAKES] for cell in range(8)]
    )
    if side == "small":
        return small
    quiet = np.broadcast_to(small[-1], (7, small.shape[1]))
    low = np.vstack([small, quiet])
    return np.hstack([low, low[::-1]])


@cache
def edges(side: Side) -> Floats:
    """Return the borders between the cells of `odds`, ascending; a p-value equal to a border is above it."""
    marks = np.array(sorted(LEVELS))
    return marks if side == "small" else np.concatenate([marks, 1 - marks[::-1]])


def pay(p: Floats, side: Side) -> Floats:
    """Return what every bet pays on every p-value: shape (len(p), bets)."""
    return odds(side)[np.searchsorted(edges(side), p, side="right")]


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
    horizon and the next smaller alpha; outside the table Doob's bound horizon / alpha. Raises TrimtabError
    on an alpha outside (0, 1) or a horizon below 1.
    """
    if not 0 < alpha < 1 or horizon < 1:
        raise TrimtabError(
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
