"""What more preference pairs would teach: learning curves of cheap heads, cross-fitted, and the gain they promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from core.types import Estimate
from estimates.means import Floats, effective_units, hull, sum_by_unit
from estimates.proportions import LEVEL, MINIMUM

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Outlook = Literal["likely to help", "unlikely", "not enough pairs"]
# A quarter is held out each time, as a run does it.
FOLDS = 4
# A curve's shares of the prompts; the last two are all of them and half of them.
SHARES = (0.125, 0.25, 0.5, 1.0)
_ROUNDS = 60
_WEAK, _STRONG = 1e-3, 1e6


def fit_head(differences: Floats) -> Floats:
    """Weights (d) under which the rows of `differences` (n, d), chosen minus rejected, are preferred (Bradley-Terry).

    Logistic regression without intercept; the ridge is the one that the pairs themselves make most probable (the
    evidence of MacKay, Bayesian Interpolation, 1992). The curvature is bounded by a quarter of X'X (Böhning and
    Lindsay 1988), so that one decomposition serves every step. Zeros for no rows.
    """
    n, d = differences.shape
    if not n:
        return np.zeros(d)
    gram = differences.T @ differences if d <= n else differences @ differences.T
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-9 * max(float(values[-1]), 1e-12)
    curvature, basis = values[kept] / 4, vectors[:, kept]
    turned = differences @ basis if d <= n else basis * np.sqrt(values[kept])
    weights, ridge = np.zeros(turned.shape[1]), 1.0
    for _ in range(_ROUNDS):
        step = (turned.T @ expit(-turned @ weights) - ridge * weights) / (curvature + ridge)
        weights = weights + step
        size = float(weights @ weights)
        known = float((curvature / (curvature + ridge)).sum())
        ridge = float(np.clip(known / size if size else _STRONG, _WEAK, _STRONG))
        if float(np.abs(step).max(initial=0.0)) < 1e-4 * sqrt(size or 1.0):
            break
    return np.asarray(basis @ weights if d <= n else differences.T @ (basis @ (weights / np.sqrt(values[kept]))))


@dataclass(frozen=True, slots=True)
class Deal:
    """How rows are dealt out: the fold of each row's prompt, that of its contributor (-1: kept with everybody), and
    each prompt's place in [0, 1), by which subsets are nested."""

    fold: Ids
    contributor_fold: Ids
    place: Floats

    def within(self, share: float) -> Mask:
        """The rows of that share of the prompts; a smaller share's are among a larger one's."""
        return self.place < share


def deal(prompts: Ids, contributors: Ids, *, seed: int) -> Deal:
    """Deal out prompts and contributors at random, evenly. Rows of one prompt are in one fold; -1 is no contributor."""
    rng = np.random.default_rng(seed)
    _, own = np.unique(prompts, return_inverse=True)
    number = int(own.max()) + 1 if len(own) else 0
    order = rng.permutation(number)[own]
    known = np.unique(contributors[contributors >= 0])
    # Those without a name stand last.
    ranks = np.append(rng.permutation(len(known)), -1)
    who = ranks[np.where(contributors >= 0, np.searchsorted(known, contributors), len(known))]
    place = (order // FOLDS) / max(1, ceil(number / FOLDS))
    return Deal(order % FOLDS, np.where(who >= 0, who % FOLDS, -1), place)


def cross_fit(differences: Floats, dealt: Deal, subsets: Sequence[Mask]) -> tuple[Floats, Floats]:
    """Held-out log-odds (subsets, n) that each row's label is right, and the mean rows (subsets) a head learnt from.

    A row is judged by heads that saw neither its prompt nor its contributor, fitted on the rows of each subset.
    """
    margins = np.zeros((len(subsets), len(differences)))
    learnt = np.zeros(len(subsets))
    for fold in range(FOLDS):
        for who in np.unique(dealt.contributor_fold):
            own = (dealt.fold == fold) & (dealt.contributor_fold == who)
            if not own.any():
                continue
            apart = dealt.fold != fold
            if who >= 0:
                apart &= dealt.contributor_fold != who
            for number, subset in enumerate(subsets):
                rows = apart & subset
                margins[number, own] = differences[own] @ fit_head(differences[rows])
                learnt[number] += int(rows.sum()) * int(own.sum())
    return margins, learnt / max(len(differences), 1)


def hits(margins: Floats) -> Floats:
    """1 where the log-odds are above 0, one half at 0, else 0."""
    return (np.sign(margins) + 1) / 2


@dataclass(frozen=True, slots=True)
class Curve:
    """Held-out log-odds of each row (shares, n) under heads on that share of the prompts, the rows that those heads
    learnt from in the mean, and the log-odds under heads on what is known before."""

    shares: tuple[float, ...]
    margins: Floats
    learnt: Floats
    before: Floats


def trace(differences: Floats, dealt: Deal, known: Mask) -> Curve:
    """Return the learning curve over SHARES of the prompts, beside heads on the rows that are already `known`."""
    subsets = [dealt.within(share) for share in SHARES]
    margins, learnt = cross_fit(differences, dealt, [*subsets, known])
    return Curve(SHARES, margins[:-1], learnt[:-1], margins[-1])


@dataclass(frozen=True, slots=True)
class Gains:
    """What a head gains in held-out accuracy over what is known before: with all pairs at hand, and with twice as
    many."""

    now: Estimate
    twice: Estimate


def gains(curve: Curve, units: Sequence[Sequence[Any]]) -> Gains:
    """Return the gains of heads on all rows over heads on the rows known before, which are a coin where none is.

    `units` name the prompt of each row and, where heads were kept apart from them, the contributor. What twice as many
    pairs add is not identified without an assumption; this one says that the expected accuracy neither falls with more
    pairs nor rises faster than before, pair for pair: between nothing and twice what the second half added. The
    interval is the hull of the limits under both ends. Its point takes the gap to the best head to shrink with the root
    of the number of pairs, the rate of learning without a margin (Bartlett and Mendelson 2002).
    """
    before, half, whole = hits(curve.before), hits(curve.margins[-2]), hits(curve.margins[-1])
    overlap = float(curve.learnt[-1]) / max(len(whole), 1)
    reach = 1.0 if curve.before.any() else 0.5
    now = crossed_mean(whole - before, units, reach=reach, overlap=overlap)
    most = crossed_mean(whole - before + 2 * (whole - half), units, reach=reach + 2, overlap=overlap)
    if now.value is None or now.low is None or now.high is None or most.high is None:
        return Gains(now, Estimate.missing(now.n, now.method, now.needed))
    high = min(1.0, max(now.high, most.high))
    value = now.value + max(0.0, float((whole - half).mean())) / sqrt(2)
    return Gains(now, Estimate(min(high, value), now.low, high, now.n, f"{now.method}, diminishing returns"))


def crossed_mean(
    values: Floats, units: Sequence[Sequence[Any]], *, reach: float = 1.0, overlap: float = 1.0, level: float = LEVEL
) -> Estimate:
    """Return the mean of cross-fitted values from -`reach` to `reach`, whose rows share `units` of one or two kinds.

    The variance counts what rows of one prompt, or of one contributor, have in common: the sum of both clusterings'
    less that of their intersection (Cameron, Gelbach and Miller 2011), never less than either. Heads that share most of
    their rows err together: with `overlap`, the share of all rows that each learnt from, the variance is taken
    1 + 1 / overlap times (Nadeau and Bengio, Inference for the Generalization Error, 2003, for folds). Limits are those
    of `means.mean`. Missing below MINIMUM effective units of any kind.
    """
    method = f"cross-fitted, overlap corrected {100 * level:.4g}%"
    kinds = [list(kind) for kind in units]
    if len(kinds) == 2:
        kinds.append(list(zip(*kinds, strict=True)))
    scaled = (np.asarray(values, float) + reach) / (2 * reach)
    found = [sum_by_unit(scaled, np.ones(len(scaled)), kind) for kind in kinds]
    fewest = min(effective_units(sizes) for _, sizes in found[: len(units)])
    if fewest < MINIMUM or not overlap:
        more = (MINIMUM - fewest) * (len(scaled) / fewest if fewest else 1.0)
        return Estimate.missing(len(scaled), method, max(1, ceil(more)))
    value = float(scaled.mean())
    variances = [float(((totals - value * sizes) ** 2).sum()) / len(scaled) ** 2 for totals, sizes in found]
    variance = max(*variances[:2], variances[0] + variances[1] - variances[2]) if len(kinds) == 3 else variances[0]
    held = max(2.0, fewest / (1 + 1 / overlap))
    below, above = hull(np.array([value]), np.array([variance * fewest]), held, (1 - level) / 2)
    low, mid, high = (float(2 * reach * end - reach) for end in (below[0], value, above[0]))
    return Estimate(mid, low, high, len(values), method)


def outlook(gain: Estimate, *, worth: float) -> tuple[Outlook, int]:
    """Return whether training is likely to help, and how many more pairs would tell where that is open.

    Likely when the whole interval is above 0, unlikely when it ends below `worth`. The number is a plan, not a promise:
    at the present gain, the interval narrows with the root of the number of pairs.
    """
    if gain.value is None or gain.low is None or gain.high is None:
        return "not enough pairs", gain.needed
    if gain.low > 0:
        return "likely to help", 0
    if gain.high < worth:
        return "unlikely", 0
    # Either the lower end passes 0 or the upper end falls below `worth`, whichever is nearer.
    ways = [(gain.value - gain.low, gain.value), (gain.high - gain.value, worth - gain.value)]
    factors = [(half / distance) ** 2 for half, distance in ways if distance > 0]
    return "not enough pairs", max(1, ceil(gain.n * (min(factors) - 1)))
