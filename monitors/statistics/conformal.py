"""Randomised conformal p-values against a growing bag: independent and uniform for exchangeable units."""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

OTHER = ""
STRATUM_MINIMUM = 100


class Bag:
    """Sorted whole-number scores of one stratum, one list a view; a new unit is ranked in it and joins it."""

    def __init__(self, columns: Sequence[Sequence[int]]) -> None:
        self.columns = [sorted(column) for column in columns]

    def add(self, scores: Sequence[int], luck: Sequence[float]) -> list[float]:
        """Return each view's p-value of a unit and take the unit in.

        p = (units above + u x units equal, itself included) / units, itself included, with u from [0, 1) in
        `luck` (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2.2: smoothed conformal
        predictors).
        A large score gives a small p.
        """
        out = []
        for column, score, u in zip(self.columns, scores, luck, strict=True):
            after = bisect_right(column, score)
            equal = after - bisect_left(column, score) + 1
            out.append((len(column) - after + u * equal) / (len(column) + 1))
            insort(column, score)
        return out


def merge_strata(strata: Sequence[str]) -> dict[str, str]:
    """Return under which name each declared stratum of a reference is calibrated.

    Strata with fewer than STRATUM_MINIMUM units join OTHER; so do those that the reference never saw. While
    OTHER itself is smaller than that, the smallest stratum joins it too.
    """
    sizes = Counter(strata)
    own = {name: n for name, n in sizes.items() if n >= STRATUM_MINIMUM}
    left = sum(sizes.values()) - sum(own.values())
    while own and 0 < left < STRATUM_MINIMUM:
        smallest = min(own, key=lambda name: (own[name], name))
        left += own.pop(smallest)
    if left == 0 and own:
        # No unit is left over, yet a stratum unheard of may come: it is ranked in the largest one.
        largest = max(own, key=lambda name: (own[name], name))
        return {name: name for name in own} | {OTHER: largest}
    return {name: name if name in own else OTHER for name in sizes} | {OTHER: OTHER}


def home(stratum: str, merged: Mapping[str, str]) -> str:
    """Return the calibrated stratum to which a declared one belongs."""
    return merged.get(stratum, merged[OTHER])


def novelty_mark(scores: NDArray[np.int64], share: float) -> int:
    """Return the score that a new exchangeable unit exceeds with probability at most `share`."""
    n = len(scores)
    rank = int(np.ceil((1 - share) * (n + 1)))
    return int(np.sort(scores)[rank - 1]) if rank <= n else int(scores.max())
