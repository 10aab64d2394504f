"""Whether stated probabilities of a preference come true: calibration error, Brier score, reliability by confidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from core.errors import InvalidInput
from core.types import Estimate
from estimates.means import Floats, effective_units, hull, mean, sum_by_unit
from estimates.proportions import LEVEL, MINIMUM

BINS, MOST_BINS = 10, 12


@dataclass(frozen=True, slots=True)
class Bin:
    """The pairs whose confidence lies between `low` and `high`: their mean confidence and the share that was right."""

    low: float
    high: float
    n: int
    confidence: float
    right: Estimate


def brier_score(
    probabilities: ArrayLike, *, clusters: Sequence[Any] | None = None, minimum: int = MINIMUM, level: float = LEVEL
) -> Estimate:
    """Return the mean of (1 - p)^2, with the interval of `means.mean`: 0.25 is what a coin's p = 1/2 scores.

    `probabilities` are those given to the answers that people chose. The score is proper: no forecast but the true
    probability has a better expectation (Brier, Monthly Weather Review 78, 1950).
    """
    p = _checked(probabilities)
    return mean((1 - p) ** 2, low=0.0, high=1.0, clusters=clusters, minimum=minimum, level=level)


def calibration_error(
    probabilities: ArrayLike,
    *,
    bins: int = BINS,
    clusters: Sequence[Any] | None = None,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the expected calibration error over `bins` equal bins of confidence, with an interval; n counts pairs.

    `probabilities` are those given to the answers that people chose. The confidence of a pair is that of the answer
    held likelier, and it is right when that is the chosen one, half right at p = 1/2. The error is sum_b |theta_b|,
    theta_b the mean of (right - confidence) over all pairs, counted in bin b only: a lower bound of the error without
    bins (Kumar, Liang and Ma, Verified Uncertainty Calibration, 2019, proposition 3.3). The value is the plug-in less
    its bias under normal noise (Kumar et al., appendix; Roelofs et al., Mitigating Bias in Calibration Error
    Estimation, 2022, on that bias), cut to the interval.

    The interval: sum_b |theta_b| = max over signs s of s . theta, attained at s*. Let U_s and L_s be limits of the
    mean s . theta as in `means.mean`. Only s* need be covered above, so max_s U_s is an upper limit at its tail's
    whole level. Every s . theta lies below the error, so max_s L_s is a lower limit when the L_s hold together: the
    tail is shared out over all 2^bins, half of it to the two signs of a one-directional error, which most models
    have. Unlike a bootstrap this stays honest where the error is 0. `clusters` names the independent unit of each
    pair (its prompt). Missing below `minimum` effective units. Raises InvalidInput on a probability outside 0 to 1.
    """
    if not 1 <= bins <= MOST_BINS:
        raise InvalidInput(f"{bins} bins are not taken.", f"Use 1 to {MOST_BINS}.")
    p = _checked(probabilities)
    method = f"calibration error over {bins} bins, hull of signs {level:.0%}"
    confidence, right = _folded(p)
    held = np.zeros((len(p), bins))
    held[np.arange(len(p)), _bin_of(confidence, bins)] = right - confidence
    totals, sizes = sum_by_unit(held, np.ones(len(p)), clusters)
    units = effective_units(sizes)
    if units < max(minimum, 2):
        scale = len(p) / units if units else 1.0
        return Estimate.missing(len(p), method, int(np.ceil((max(minimum, 2) - units) * scale)))
    theta = totals.sum(axis=0) / len(p)
    residuals = totals - np.outer(sizes, theta)
    # Covariance of one effective unit, as in means.mean.
    covariance = residuals.T @ residuals / len(p) ** 2 * units
    signs = np.array(list(product((-1.0, 1.0), repeat=bins)))
    values, spreads = signs @ theta, np.einsum("sb,bc,sc->s", signs, covariance, signs)
    tail = (1 - level) / 2
    # From the scale -1 to 1 to that of the limits, 0 to 1.
    scaled, spreads = (values + 1) / 2, np.maximum(spreads, 0.0) / 4
    high = float((2 * hull(scaled, spreads, units, tail)[1] - 1).max())
    low = max(0.0, float((2 * hull(scaled, spreads, units, tail * _shares(signs))[0] - 1).max()))
    noise = np.sqrt(np.diag(covariance) / units)
    value = min(high, max(low, float(np.abs(theta).sum()) - _bias(theta, noise)))
    return Estimate(value, low, high, len(p), method)


def reliability(
    probabilities: ArrayLike, *, bins: int = BINS, clusters: Sequence[Any] | None = None, level: float = LEVEL
) -> list[Bin]:
    """Return the bins of confidence that hold any pair, each with the share of pairs that were right."""
    p = _checked(probabilities)
    confidence, right = _folded(p)
    place = _bin_of(confidence, bins)
    names = None if clusters is None else np.asarray(clusters, object)
    found = []
    for number in np.unique(place).tolist():
        own = place == number
        units = None if names is None else names[own].tolist()
        share = mean(right[own], low=0.0, high=1.0, clusters=units, level=level)
        edges = 0.5 + 0.5 * number / bins, 0.5 + 0.5 * (number + 1) / bins
        found.append(Bin(*edges, int(own.sum()), float(confidence[own].mean()), share))
    return found


def _checked(probabilities: ArrayLike) -> Floats:
    p = np.asarray(probabilities, float)
    if p.size and not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1):
        raise InvalidInput("A probability lies outside 0 to 1.", "Give one for each pair's chosen answer.")
    return p


def _folded(p: Floats) -> tuple[Floats, Floats]:
    """Return confidence (0.5 to 1) and rightness (0, 0.5, 1), which do not depend on which answer comes first."""
    return np.maximum(p, 1 - p), np.where(p == 0.5, 0.5, (p > 0.5).astype(float))


def _bin_of(confidence: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum(((confidence - 0.5) * 2 * bins).astype(np.int64), bins - 1)


def _shares(signs: Floats) -> Floats:
    """Return each sign vector's share of the lower tail: half for the two constant ones, half for the others."""
    constant = np.abs(signs.sum(axis=1)) == signs.shape[1]
    if constant.all():
        return np.full(len(signs), 0.5)
    return np.where(constant, 0.25, 0.5 / (~constant).sum())


def _bias(theta: Floats, noise: Floats) -> float:
    """Return the expected excess of sum |theta + noise| over sum |theta| (mean of a folded normal variable)."""
    t, s = np.abs(theta[noise > 0]), noise[noise > 0]
    folded = s * np.sqrt(2 / np.pi) * np.exp(-(t**2) / (2 * s**2)) + t * (1 - 2 * ndtr(-t / s))
    return float((folded - t).sum())
