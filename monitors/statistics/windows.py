"""Window tests: every few prompts, by permutation, whether the mean features of a last window differ from the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitors.statistics.features import Directions, Features, Rows, Topics

# Draws that may reach the observed statistic without an alarm: more cost more in quiet times and find a
# little more.
REACHED = 1
# Below this quantile of the null draws of earlier checks no draw is made; leaving out a test cannot add an
# alarm.
WORTH_A_DRAW = 0.9
REMEMBERED = 200
# Features have a total variance about 1 where prompts differ at all; below this all are copies of one.
FLAT = 1e-3
# Statistics that differ by less are equal but for rounding, and count for the null.
TIE = 1e-5
# Once the epoch has alarmed, its promise is spent: a cheap check keeps the alarm lit.
LIT = 0.01


@dataclass(frozen=True, slots=True)
class Shape:
    """What a test compares: by which features, over which last windows, every how many prompts, and how many of the
    last ones it keeps beside the calibration prompts.
    """

    features: type[Topics] | type[Directions]
    windows: tuple[int, ...]
    every: int
    history: int


MIXTURE = Shape(Topics, windows=(25, 35, 50, 70, 100, 140, 200, 280, 400), every=25, history=900)
# Slow and small: it pays to look seldom, over long windows, and to keep no changed prompt among the usual ones.
DIFFUSE = Shape(Directions, windows=(100, 140, 200, 280, 400, 560, 800), every=100, history=800)


class WindowTest:
    """The pool of calibration prompts and last prompts, and the generator of permutations."""

    def __init__(
        self,
        shape: Shape,
        features: Features,
        calm: Rows,
        strata: NDArray[np.int32],
        e: float,
        rng: np.random.Generator,
    ) -> None:
        self.shape = shape
        self.features = features
        self.e = e
        self.seen = 0
        self.window = 0
        self._calm = calm
        self._calm_strata = strata
        self._last = np.empty((0, calm.shape[1]), calm.dtype)
        self._last_strata = np.empty(0, np.int32)
        self._null = np.empty(0)
        self._rng = rng

    @classmethod
    def fit(
        cls,
        shape: Shape,
        embeddings: Rows,
        strata: NDArray[np.int32],
        chosen: NDArray[np.bool_],
        alpha: float,
        horizon: int,
        rng: np.random.Generator,
    ) -> Self:
        """Return a test with features from the rows in `chosen` and a pool of the others.

        `alpha` is divided equally over the checks of the horizon. `strata` numbers each row's stratum.
        """
        features = shape.features.fit(embeddings[chosen], rng)
        checks = max(1, horizon // shape.every)
        return cls(shape, features, features.apply(embeddings[~chosen]), strata[~chosen], alpha / checks, rng)

    @property
    def until_check(self) -> int:
        """How many prompts to `add` before the next `check`; never 0."""
        return self.shape.every - self.seen % self.shape.every

    @property
    def due(self) -> bool:
        """Whether the prompts added so far end where a check belongs."""
        return self.seen > 0 and self.seen % self.shape.every == 0

    @property
    def onset(self) -> int:
        """The number of the first prompt of the window that differed most at the last check; the first added is 0."""
        return max(0, self.seen - self.seen % self.shape.every - self.window)

    def add(self, embeddings: Rows, strata: NDArray[np.int32]) -> None:
        """Take prompts into the pool, none beyond the next check."""
        self._last = np.concatenate([self._last, self.features.apply(embeddings)])[-self.shape.history :]
        self._last_strata = np.concatenate([self._last_strata, strata])[-self.shape.history :]
        self.seen += len(embeddings)

    def fill(self, embeddings: Rows, strata: NDArray[np.int32]) -> None:
        """Take prompts into the calibration pool. Those of their stratum in the windows come later, so that its own
        are exchangeable in order; other strata are not permuted with them.
        """
        self._calm = np.concatenate([self._calm, self.features.apply(embeddings)])
        self._calm_strata = np.concatenate([self._calm_strata, strata])

    def check(self, *, lit: bool = False) -> float:
        """Return the level of this check: e over the p-value; 1 or more is an alarm, whose probability is at
        most e.

        Permutations inside strata are drawn until REACHED + 1 of them reach the observed statistic, at most
        ceil((REACHED + 1) / e) - 1 (Besag and Clifford, Biometrika 78, 1991). With `lit` the check is a
        short one without a promise, for keeping an alarm on.
        """
        pool = np.concatenate([self._calm, self._last]).astype(np.float32, copy=False)
        strata = np.concatenate([self._calm_strata, self._last_strata])
        widths = [w for w in self.shape.windows if w <= len(self._last)]
        names = np.unique(strata)
        groups = [np.flatnonzero(strata == s) for s in names] if len(names) > 1 else [slice(None)]
        for group in groups:
            pool[group] -= pool[group].mean(axis=0)
        scale = float(np.vdot(pool, pool)) / len(pool)
        if scale < FLAT:
            return 0.0
        norms = 1 / np.array([w * (1 - w / len(pool)) * scale for w in widths])
        starts = [widths[-1] - w for w in reversed(widths)]
        tail = np.arange(len(pool) - widths[-1], len(pool))
        own = _suffix_norms(pool, tail[None], starts) * norms
        self.window = widths[int(np.argmax(own))]
        observed = float(own.max())
        e = LIT if lit else self.e
        most = ceil((REACHED + 1) / e) - 1
        if len(self._null) == REMEMBERED and observed < np.quantile(self._null, WORTH_A_DRAW):
            return e
        drawn = reached = 0
        size = 8
        while drawn < most and reached <= REACHED:
            size = min(size, most - drawn, 64)
            order = np.tile(np.arange(len(pool), dtype=np.int32), (size, 1))
            for group in groups:
                order[:, group] = self._rng.permuted(order[:, group], axis=1)
            null = (_suffix_norms(pool, order[:, tail], starts) * norms).max(axis=1)
            reached += int(np.count_nonzero(null >= observed * (1 - TIE)))
            drawn += size
            self._null = np.concatenate([self._null, null])[-REMEMBERED:]
            size *= 2
        return (min(drawn, most - 1) + 1) * e / (reached + 1) if reached > REACHED else (REACHED + 1) / (reached + 1)

    def toward_shift(self) -> NDArray[np.float64]:
        """Return how far each prompt of the leading window lies in the direction in which the window
        differs.
        """
        recent = (self._last[-self.window :] if self.window else self._last[:0]).astype(np.float64)
        if not len(recent):
            return np.empty(0)
        usual = self._calm.mean(axis=0, dtype=np.float64)
        toward: NDArray[np.float64] = (recent - usual) @ (recent.mean(axis=0) - usual)
        return toward

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything needed to go on, as arrays."""
        own: dict[str, NDArray[Any]] = {
            "calm": self._calm,
            "calm_strata": self._calm_strata,
            "last": self._last,
            "last_strata": self._last_strata,
            "null": self._null,
        }
        return own | self.features.arrays()

    def words(self) -> dict[str, Any]:
        """Return the rest of the state, fit for JSON."""
        return {"e": self.e, "seen": self.seen, "window": self.window, "rng": self._rng.bit_generator.state}

    @classmethod
    def restore(cls, shape: Shape, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> Self:
        """Return the test of this shape that `arrays` and `words` describe."""
        rng = np.random.default_rng()
        rng.bit_generator.state = words["rng"]
        features = shape.features.restore(arrays)
        test = cls(shape, features, arrays["calm"], arrays["calm_strata"], words["e"], rng)
        test.seen, test.window = words["seen"], words["window"]
        test._last, test._last_strata, test._null = arrays["last"], arrays["last_strata"], arrays["null"]
        return test


def _suffix_norms(pool: Rows, order: NDArray[np.signedinteger[Any]], starts: Sequence[int]) -> NDArray[np.float64]:
    """Return squared norms of the sums over the last w rows of each order, for each w: shape (k, widths).

    `order` (k, widest) numbers rows of `pool`; `starts` are the first places of the windows, widest first. The result
    has the narrowest first. The sums are one product with a matrix of zeros and ones: several times as fast as adding
    up rows that lie apart.
    """
    k, widest = order.shape
    block = np.searchsorted(starts, np.arange(widest), side="right") - 1
    member = np.zeros((k * len(starts), len(pool)), np.float32)
    member[np.arange(k)[:, None] * len(starts) + block, order] = 1
    sums = np.cumsum((member @ pool).reshape(k, len(starts), -1)[:, ::-1], axis=1)
    norms: NDArray[np.float64] = np.einsum("kwd,kwd->kw", sums, sums).astype(np.float64)
    return norms
