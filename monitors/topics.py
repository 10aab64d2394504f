"""Which topics and segments carry a shift: shares now against the reference, with corrected significance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Any

TOPICS = 90
ROUNDS = 15
SIGNIFICANT = 0.05
# A topic most of whose rows are in those listed before tells nothing new.
OVERLAP = 0.5
# Rows of a topic that is listed without being significant: what a few people ask is then nothing to read about.
FEWEST = 12
EVERYTHING = "everything"
_WORD = re.compile(r"[^\W\d_]{3,20}")


@dataclass(frozen=True, slots=True)
class Shift:
    """A topic or segment: how often now and in the reference, its p-value corrected for all of them, and its rows by
    index: those now and those of the reference.
    """

    name: str
    now: int
    now_of: int
    reference: int
    reference_of: int
    p: float
    rows: tuple[int, ...]
    before: tuple[int, ...]

    @property
    def grew(self) -> bool:
        """Whether its share is larger now than in the reference."""
        return self.now * self.reference_of > self.reference * self.now_of

    def as_json(self) -> dict[str, Any]:
        """The shift for an alert's why: shares, counts and whether it is significant at 5 %."""
        return {
            "name": self.name,
            "share_now": self.now / self.now_of if self.now_of else None,
            "share_reference": self.reference / self.reference_of if self.reference_of else None,
            "now": self.now,
            "reference": self.reference,
            "p": self.p,
            "significant": self.p <= SIGNIFICANT,
        }


def shifted_topics(
    reference: Any, reference_texts: Sequence[str], current: Any, current_texts: Sequence[str], *, seed: int
) -> list[Shift]:
    """Topics of both sets together, those that shifted most surely first; `reference` and `current` are unit vectors
    (n, d).

    Topics are the clusters of every size in a tree (Ward 1963) grown without knowing which set a row is from: a
    tree-based scan (Kulldorff, Fang and Walsh 2003). The correction is over all of them: while nothing changes, the
    probability that any is significant is at most 5 %. Of topics that share most rows the clearest is listed; those
    that are not significant from `FEWEST` rows on. They are named by the words that set them apart.
    """
    import numpy as np

    if not len(reference) or not len(current):
        return []
    leaves, starts, sizes = _tree(np.concatenate([reference, current]), seed)
    found = _shifts([""] * len(sizes), leaves, starts, sizes, of=(len(reference), len(current)), seed=seed)
    listed = _distinct([s for s in found if s.p <= SIGNIFICANT or s.now + s.reference >= FEWEST])
    members = [{*s.before, *(len(reference) + row for row in s.rows)} for s in listed]
    rest = set(range(len(leaves))).difference(*members)
    texts = [*reference_texts, *current_texts]
    names = _names([[texts[row] for row in sorted(rows)] for rows in (*members, rest)])
    return [replace(shift, name=name) for shift, name in zip(listed, names, strict=False)]


def _distinct(shifts: Sequence[Shift]) -> list[Shift]:
    """The shifts without those whose rows, of now or of the reference, are mostly in shifts before them."""
    out: list[Shift] = []
    now, then = set[int](), set[int]()
    for shift in shifts:
        sides = ((shift.rows, now), (shift.before, then))
        if all(sum(row in listed for row in own) <= OVERLAP * len(own) for own, listed in sides):
            out.append(shift)
            now.update(shift.rows)
            then.update(shift.before)
    return out


def find_topics(vectors: Any, texts: Sequence[str], *, rows: int, seed: int) -> list[tuple[str, list[int]]]:
    """Topics of about `rows` rows each, by name with their rows by index, largest first.

    `vectors` are unit vectors (n, d) of the `texts`. One topic for fewer than two times `rows`.
    """
    import numpy as np

    if not len(vectors):
        return []
    labels = _cluster(np.asarray(vectors, np.float32), max(1, min(TOPICS, len(vectors) // rows)), seed)
    groups = [np.flatnonzero(labels == topic).tolist() for topic in np.unique(labels)]
    named = zip(_names([[texts[i] for i in group] for group in groups]), groups, strict=True)
    return sorted(named, key=lambda topic: -len(topic[1]))


def shifted_segments(
    reference: Sequence[Mapping[str, str]], current: Sequence[Mapping[str, str]], *, seed: int
) -> list[Shift]:
    """Segments (label=value) by how surely their share moved, corrected for all of them; most significant first."""
    import numpy as np

    rows: dict[str, list[int]] = {}
    for index, labels in enumerate([*reference, *current]):
        for key, value in labels.items():
            rows.setdefault(f"{key}={value}", []).append(index)
    names = sorted(rows)
    sizes = np.array([len(rows[name]) for name in names], np.int64)
    order = np.array([index for name in names for index in rows[name]], np.int64)
    of = (len(reference), len(current))
    return _shifts([name[:80] for name in names], order, np.cumsum(sizes) - sizes, sizes, of=of, seed=seed)


def _shifts(
    names: Sequence[str], order: Any, starts: Any, sizes: Any, *, of: tuple[int, int], seed: int
) -> list[Shift]:
    """Groups of rows, as slices of `order`, by corrected p-value, then by that of the group alone, then growth before
    decline. `of` counts all rows of the reference, which come first, and those now.
    """
    import numpy as np

    from estimates.groups import p_values

    then_of, now_of = of
    is_now = np.arange(then_of + now_of) >= then_of
    alone, corrected = p_values(order, starts, sizes, is_now, seed=seed)
    shifts = []
    for name, start, size, p in zip(names, starts, sizes, corrected.tolist(), strict=True):
        rows = np.sort(order[start : start + size])
        now, then = rows[is_now[rows]] - then_of, rows[~is_now[rows]]
        shifts.append(Shift(name, len(now), now_of, len(then), then_of, p, tuple(now.tolist()), tuple(then.tolist())))
    growth = [s.now * then_of - s.reference * now_of for s in shifts]
    return [shifts[i] for i in sorted(range(len(shifts)), key=lambda i: (shifts[i].p, alone[i], -growth[i]))]


def _tree(vectors: Any, seed: int) -> tuple[Any, Any, Any]:
    """Ward's tree of unit vectors (n, d): its leaves, left to right, and where in them each cluster begins and how many
    it has: at most half of the rows, as what most people ask is no topic, and all copies of a row or none.
    """
    import numpy as np
    from scipy.cluster.hierarchy import leaves_list, ward

    n = len(vectors)
    shuffled = np.random.default_rng([seed, 1]).permutation(n)  # the tree must not tell by ties which rows come first
    rows = vectors[shuffled]
    cosines = rows @ rows.T
    merges = ward(np.sqrt(np.clip(2 - 2 * cosines[np.triu_indices(n, 1)].astype(float), 0, None)))
    leaves = leaves_list(merges).astype(np.int64)
    starts = np.concatenate([np.argsort(leaves), np.zeros(n - 1, np.int64)])
    for row, pair in enumerate(merges[:, :2].astype(int)):
        starts[n + row] = starts[pair].min()
    starts, sizes = starts[n:], merges[:, 3].astype(np.int64)
    is_copy = np.zeros(n + 1, bool)  # of the leaf to its left
    is_copy[1:n] = (rows[leaves[1:]] == rows[leaves[:-1]]).all(axis=1)
    topics = (2 * sizes <= n) & ~is_copy[starts] & ~is_copy[starts + sizes]
    return shuffled[leaves], starts[topics], sizes[topics]


def _cluster(vectors: Any, k: int, seed: int) -> Any:
    import numpy as np

    rng = np.random.default_rng(seed)
    centres = vectors[[int(rng.integers(len(vectors)))]]
    for _ in range(1, k):  # k-means++ seeding (Arthur and Vassilvitskii 2007) on the cosine distance
        far = np.clip(1 - (vectors @ centres.T).max(axis=1), 0, None).astype(float)
        if far.sum() <= 0:
            break
        centres = np.vstack([centres, vectors[[int(rng.choice(len(vectors), p=far / far.sum()))]]])
    labels = np.zeros(len(vectors), int)
    for _ in range(ROUNDS):
        labels = (vectors @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, vectors)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(norms > 0, sums / np.where(norms > 0, norms, 1), centres)
    return labels


def _names(groups: Sequence[Sequence[str]]) -> list[str]:
    """Three words a group that set it apart: those of the highest log-odds ratio against the other groups, in its
    standard errors, under a prior of all words that weighs as much as an average group (Monroe, Colaresi and Quinn
    2008, "Fightin' words", section 3.5.1), the more the fewer groups have them at all. A word counts once a text.
    """
    if len(groups) == 1:
        return [EVERYTHING]
    counts = [Counter(word for text in group for word in set(_WORD.findall(text[:2000].lower()))) for group in groups]
    total: Counter[str] = sum(counts, Counter())
    spread = Counter(word for count in counts for word in count)
    weight = total.total() / len(groups) + 1  # the one is a word that nobody wrote: no odds are infinite
    names = []
    for count in counts:
        own, rest = count.total() + weight, total.total() - count.total() + weight
        apart: dict[str, float] = {}
        for word, seen in count.items():
            prior = total[word] / len(groups)
            here, elsewhere = seen + prior, total[word] - seen + prior
            ratio = log(here / (own - here)) - log(elsewhere / (rest - elsewhere))
            apart[word] = ratio / sqrt(1 / here + 1 / elsewhere) * log(1 + len(groups) / spread[word])
        best = sorted(apart, key=lambda word: (-apart[word], word))
        names.append(" · ".join(best[:3]) or "no words")
    return names
