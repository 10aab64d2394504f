"""The true rate behind an imperfect detector: its misses and false hits taken out, their uncertainty kept."""

from math import sqrt

from scipy.special import ndtri

from core.errors import InvalidInput
from core.types import Estimate
from estimates.proportions import LEVEL, MINIMUM


def corrected_rate(
    flagged: int,
    n: int,
    *,
    sensitivity: tuple[int, int],
    specificity: tuple[int, int],
    minimum: int = MINIMUM,
    level: float = LEVEL,
) -> Estimate:
    """Return the true share among n rows of which the detector flagged `flagged`, with an interval.

    `sensitivity` is (found, positives) and `specificity` (passed, negatives) on rows with human labels. The
    point is Rogan and Gladen's (1978), cut to 0 and 1; the interval Lang and Reiczigel's (Preventive
    Veterinary Medicine 113, 2014), which carries the uncertainty of all three counts. Missing below
    `minimum` rows of any kind, or when the detector is not clearly better than chance (sensitivity +
    specificity - 1 at most 0.1).
    """
    for part, whole in ((flagged, n), sensitivity, specificity):
        if not 0 <= part <= whole:
            raise InvalidInput(f"{part} of {whole} rows is not a share.", "Count hits among the rows counted.")
    method = f"rogan-gladen, lang-reiczigel {100 * level:.4g}%"
    short = max(minimum - n, minimum - sensitivity[1], minimum - specificity[1])
    if short > 0:
        return Estimate.missing(n, method, short)
    se, sp = sensitivity[0] / sensitivity[1], specificity[0] / specificity[1]
    if se + sp - 1 <= 0.1:
        return Estimate.missing(n, method)
    z = float(ndtri(1 - (1 - level) / 2))
    rows, positives, negatives = n + z * z, sensitivity[1] + 2, specificity[1] + 2
    p = (flagged + z * z / 2) / rows
    a, b = (sensitivity[0] + 1) / positives, (specificity[0] + 1) / negatives
    rate = (p + b - 1) / (a + b - 1)
    noise_a, noise_b = a * (1 - a) / positives, b * (1 - b) / negatives
    shift = 2 * z * z * (rate * noise_a - (1 - rate) * noise_b)
    variance = (p * (1 - p) / rows + rate**2 * noise_a + (1 - rate) ** 2 * noise_b) / (a + b - 1) ** 2
    half = z * sqrt(variance)
    value = min(1.0, max(0.0, (flagged / n + sp - 1) / (se + sp - 1)))
    low, high = max(0.0, rate + shift - half), min(1.0, rate + shift + half)
    return Estimate(value, min(low, value), max(high, value), n, method)
