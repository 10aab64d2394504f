"""Novelty test: after every prompt, bets that its conformal p-values in five views are not uniform."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitors.statistics.bets import Wagers, pay, threshold
from monitors.statistics.conformal import Bag, novelty_mark
from monitors.statistics.views import NAMES, SIDES, Views

NOVEL_SHARE = 0.05

Arrays = dict[str, NDArray[Any]]


class NoveltyTest:
    """The state of the five betting statistics and of the bags that rank every prompt.

    `sizes` counts the prompts of each stratum: the reference's, those in `chosen` included, and all since.
    """

    def __init__(
        self,
        views: Views,
        bags: dict[str, Bag],
        sizes: dict[str, int],
        marks: dict[str, int],
        limits: Sequence[float],
    ) -> None:
        self.views = views
        self.bags = bags
        self.sizes = sizes
        self.marks = marks
        self.wagers = Wagers(SIDES, limits)

    @classmethod
    def fit(
        cls,
        embeddings: NDArray[np.float32],
        texts: Sequence[str],
        strata: Sequence[str],
        chosen: NDArray[np.bool_],
        alphas: Sequence[float],
        horizon: int,
    ) -> Self:
        """Return a test with score functions from the rows in `chosen` and calibration from the others.

        `alphas` is the false-alarm share of each view over the horizon.
        """
        rest = np.flatnonzero(~chosen).tolist()
        views = Views.fit(embeddings[chosen], [texts[i] for i in np.flatnonzero(chosen).tolist()])
        scores = views.score(embeddings[rest], [texts[i] for i in rest])
        sizes = dict(sorted(Counter(strata).items()))
        homes = np.array([strata[i] for i in rest])
        bags, marks = {}, {}
        for name in sizes:
            own = scores[homes == name]
            bags[name] = Bag(own.T.tolist())
            marks[name] = novelty_mark(own[:, 0], NOVEL_SHARE) if len(own) else 0
        limits = [threshold(side, a, horizon) for side, a in zip(SIDES, alphas, strict=True)]
        return cls(views, bags, sizes, marks, limits)

    def update(
        self,
        embeddings: NDArray[np.float32],
        texts: Sequence[str],
        strata: Sequence[str],
        luck: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return p-values (n, 5), statistics over thresholds (n, 5) and whether each prompt is novel (n,)."""
        scores = self.views.score(embeddings, texts).tolist()
        p = np.empty((len(texts), len(NAMES)))
        novel = np.zeros(len(texts), bool)
        for i, (row, name, u) in enumerate(zip(scores, strata, luck.tolist(), strict=True)):
            p[i] = self._bag(name).add(row, u)
            self.sizes[name] += 1
            novel[i] = row[0] > self.marks[name]
        return p, self.wagers.update(p), novel

    def fill(self, embeddings: NDArray[np.float32], texts: Sequence[str], strata: Sequence[str]) -> None:
        """Take prompts into the bags of their strata without judging them."""
        for row, name in zip(self.views.score(embeddings, texts).tolist(), strata, strict=True):
            self._bag(name).fill(row)
            self.sizes[name] += 1
            self.marks[name] = novelty_mark(np.array(self.bags[name].columns[0]), NOVEL_SHARE)

    def _bag(self, stratum: str) -> Bag:
        if stratum not in self.bags:
            self.bags[stratum] = Bag([[] for _ in NAMES])
            self.sizes[stratum] = self.marks[stratum] = 0
        return self.bags[stratum]

    def arrays(self) -> Arrays:
        """Return everything needed to go on, as arrays."""
        out: Arrays = {
            "anchors": self.views.anchors,
            "spacing": self.views.spacing,
            "document_counts": self.views.document_counts,
            "centre": self.views.centre,
            "scale": self.views.scale,
            "state": self.wagers.state,
            "limits": self.wagers.limits,
        }
        for i, name in enumerate(self.sizes):
            out[f"bag{i}"] = np.array(self.bags[name].columns, np.int64)
        return out

    def words(self) -> dict[str, Any]:
        """Return the rest of the state, fit for JSON: the sizes of the strata, in order, and the novelty marks."""
        return {"sizes": self.sizes, "marks": self.marks}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> Self:
        """Return the test that `arrays` and `words` describe."""
        views = Views(*(arrays[name] for name in ("anchors", "spacing", "document_counts", "centre", "scale")))
        sizes, marks = ({k: int(v) for k, v in words[field].items()} for field in ("sizes", "marks"))
        bags = {name: Bag(arrays[f"bag{i}"].tolist()) for i, name in enumerate(sizes)}
        test = cls(views, bags, sizes, marks, arrays["limits"].tolist())
        test.wagers.state = arrays["state"].copy()
        return test


def onset(p: NDArray[np.float64], view: int) -> int:
    """Return how many of the last prompts the strongest bet of a view takes for changed; p is (n, 5)."""
    gains = np.log(pay(p[:, view], SIDES[view]))
    back = np.cumsum(gains[::-1], axis=0)
    best = np.unravel_index(int(np.argmax(back)), back.shape)
    return int(best[0]) + 1
