"""Novelty test: after every prompt, bets that its conformal p-values in five views are not uniform."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitors.statistics.bets import Wagers, pay, threshold
from monitors.statistics.conformal import Bag, home, merge_strata, novelty_mark
from monitors.statistics.views import NAMES, SIDES, Views

NOVEL_SHARE = 0.05

Arrays = dict[str, NDArray[Any]]


class NoveltyTest:
    """The state of the five betting statistics and of the bags that rank every prompt."""

    def __init__(
        self,
        views: Views,
        bags: dict[str, Bag],
        merged: dict[str, str],
        marks: dict[str, int],
        limits: Sequence[float],
    ) -> None:
        self.views = views
        self.bags = bags
        self.merged = merged
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
        merged = merge_strata(strata)
        homes = np.array([home(strata[i], merged) for i in rest])
        bags, marks = {}, {}
        for name in sorted(set(merged.values())):
            own = scores[homes == name]
            bags[name] = Bag(own.T.tolist())
            marks[name] = novelty_mark(own[:, 0], NOVEL_SHARE) if len(own) else 0
        limits = [threshold(side, a, horizon) for side, a in zip(SIDES, alphas, strict=True)]
        return cls(views, bags, merged, marks, limits)

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
        for i, (row, stratum, u) in enumerate(zip(scores, strata, luck.tolist(), strict=True)):
            name = home(stratum, self.merged)
            p[i] = self.bags[name].add(row, u)
            novel[i] = row[0] > self.marks[name]
        return p, self.wagers.update(p), novel

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
        for i, name in enumerate(sorted(self.bags)):
            out[f"bag{i}"] = np.array(self.bags[name].columns, np.int64)
        return out

    def words(self) -> dict[str, Any]:
        """Return the rest of the state, fit for JSON: how strata merge and the novelty marks."""
        return {"merged": self.merged, "marks": self.marks}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> Self:
        """Return the test that `arrays` and `words` describe."""
        views = Views(*(arrays[name] for name in ("anchors", "spacing", "document_counts", "centre", "scale")))
        merged, marks = dict(words["merged"]), {k: int(v) for k, v in words["marks"].items()}
        bags = {name: Bag(arrays[f"bag{i}"].tolist()) for i, name in enumerate(sorted(marks))}
        test = cls(views, bags, merged, marks, arrays["limits"].tolist())
        test.wagers.state = arrays["state"].copy()
        return test


def onset(p: NDArray[np.float64], view: int) -> int:
    """Return how many of the last prompts the strongest bet of a view takes for changed; p is (n, 5)."""
    gains = np.log(pay(p[:, view], SIDES[view]))
    back = np.cumsum(gains[::-1], axis=0)
    best = np.unravel_index(int(np.argmax(back)), back.shape)
    return int(best[0]) + 1
