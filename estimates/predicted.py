"""A mean of human labels from many judged rows and few labelled ones: the judge narrows it and cannot bias it."""

import numpy as np
from numpy.typing import ArrayLike

from core.errors import InvalidInput
from core.types import Estimate
from estimates.means import Floats, mean
from estimates.proportions import LEVEL, MINIMUM, difference


def predicted_mean(
    judged: ArrayLike,
    anchor_judged: ArrayLike,
    anchor_labels: ArrayLike,
    *,
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the mean label, on 0 to 1, of the population that all rows come from; n counts every row.

    `judged` are the judge's values of rows without a label; `anchor_judged` and `anchor_labels` the judge's values and
    people's labels of the others, which must be drawn from the same population whatever their label. Prediction-powered
    inference with power tuning (Angelopoulos, Duchi and Zrnic, PPI++, 2023): the judge's mean is moved by its mean
    error on the anchors, and weighted by as much as it correlates with the labels; a useless judge leaves the anchors'
    own mean. Its normal interval fails for rare labels, so those of both means as in `means.mean` are combined
    (`proportions.difference`). Missing below `minimum` anchors. Raises InvalidInput on values outside 0 to 1.
    """
    f, g, y = (np.asarray(values, float) for values in (judged, anchor_judged, anchor_labels))
    if g.shape != y.shape:
        raise InvalidInput(f"{g.size} judged anchors have {y.size} labels.", "Give one label for each.")
    method = f"ppi++ of student and agresti-coull {level:.0%}"
    n = len(f) + len(y)
    if len(y) < max(minimum, 2):
        return Estimate.missing(n, method, max(minimum, 2) - len(y))
    weight = _weight(f, g, y)
    if weight == 0:
        own = mean(y, low=0.0, high=1.0, minimum=minimum, level=level)
        return Estimate(own.value, own.low, own.high, n, method, own.needed)
    told = mean(weight * f, low=0.0, high=weight, minimum=minimum, level=level)
    error = mean(weight * g - y, low=-1.0, high=weight, minimum=minimum, level=level)
    found = difference(told, error, low=0.0, high=1.0)
    if found.value is None or found.low is None or found.high is None:
        return Estimate.missing(n, method, found.needed)
    return Estimate(min(found.high, max(found.low, found.value)), found.low, found.high, n, method)


def _weight(f: Floats, g: Floats, y: Floats) -> float:
    """Return the judge's weight of least variance, 0 to 1: PPI++, example 6.1, from the sample's moments."""
    every = np.concatenate([f, g])
    spread = float(every.var())
    if len(f) < 2 or spread == 0:
        return 0.0
    shared = float(((g - g.mean()) * (y - y.mean())).mean())
    return min(1.0, max(0.0, shared / spread / (1 + len(y) / len(f))))
