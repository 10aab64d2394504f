"""Randomised conformal p-values against a growing bag: independent and uniform for exchangeable units."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UNDECLARED = ""
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

    def fill(self, scores: Sequence[int]) -> None:
        """Take a unit in without ranking it."""
        for column, score in zip(self.columns, scores, strict=True):
            insort(column, score)


def wanting(stratum: str, size: int) -> int:
    """Return how many more units a declared stratum wants that has `size` of them, before its units are judged.

    Until then they fill its bag unranked. Whether a unit fills or is judged depends on how many of its stratum came
    before and never on what it holds. The p-values of those judged are ranks among all of their stratum so far, so
    that while these are exchangeable they are uniform and independent of each other and of the other strata's,
    however many filled (Vovk, Gammerman and Shafer, 2.2 and 4.6: Mondrian conformal predictors). A test over a
    horizon of judged units keeps its promise as with a reference that was whole from the beginning.
    """
    return 0 if stratum == UNDECLARED else max(0, STRATUM_MINIMUM - size)


def novelty_mark(scores: NDArray[np.int64], share: float) -> int:
    """Return the score that a new exchangeable unit exceeds with probability at most `share`."""
    n = len(scores)
    rank = int(np.ceil((1 - share) * (n + 1)))
    return int(np.sort(scores)[rank - 1]) if rank <= n else int(scores.max())
