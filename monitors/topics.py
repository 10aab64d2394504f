"""Which topics and segments carry a shift: shares now against the reference, with corrected significance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from typing import Any

# Rows a topic on average, coarse to fine: a whole new subject shows in the first, a single new question in the last.
GRAINS = (100, 30, 12)
TOPICS = 90
ROUNDS = 15
# A topic most of whose rows are in one listed before tells nothing new.
OVERLAP = 0.5
EVERYTHING = "everything"
_WORD = re.compile(r"[^\W\d_]{3,20}")


@dataclass(frozen=True, slots=True)
class Shift:
    """A topic or segment: how often now and in the reference, Holm's corrected p-value, and its rows by index: those
    now, and for a topic those of the reference.
    """

    name: str
    now: int
    now_of: int
    reference: int
    reference_of: int
    p: float
    rows: tuple[int, ...]
    before: tuple[int, ...] = ()

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
            "significant": self.p <= 0.05,
        }


def shifted_topics(
    reference: Any, reference_texts: Sequence[str], current: Any, current_texts: Sequence[str], *, seed: int
) -> list[Shift]:
    """Topics of both sets together, those that grew most first; `reference` and `current` are unit vectors (n, d).

    Topics are clusters at several grains (spherical k-means, Dhillon and Modha 2001) made without knowing which set a
    row is from, so that under no change the hypergeometric law of the counts holds; the correction is over all of them.
    They are named by the words that set them apart. Of topics that share most rows the clearest is listed.
    """
    import numpy as np

    if not len(reference) or not len(current):
        return []
    both = np.concatenate([reference, current]).astype(np.float32)
    texts = [*reference_texts, *current_texts]
    groups: list[Any] = []
    for k in sorted({max(2, min(TOPICS, len(both) // grain)) for grain in GRAINS}):
        labels = _cluster(both, k, seed)
        found = [np.flatnonzero(labels == topic) for topic in range(int(labels.max()) + 1)]
        members = [rows for rows in found if len(rows)]
        groups += zip(_names([[texts[i] for i in rows] for rows in members]), members, strict=True)
    shifts = []
    for name, members in groups:
        now = members[members >= len(reference)] - len(reference)
        then = members[members < len(reference)]
        p = _fisher(len(now), len(current), len(then), len(reference))
        rows, before = tuple(now.tolist()), tuple(then.tolist())
        shifts.append(Shift(name, len(now), len(current), len(then), len(reference), p, rows, before))
    return _distinct(_corrected(shifts))


def _distinct(shifts: Sequence[Shift]) -> list[Shift]:
    """The shifts without those that mostly repeat one before them."""
    out: list[Shift] = []
    for shift in shifts:
        rows = set(shift.rows)
        if not any(len(rows & set(other.rows)) > OVERLAP * max(len(rows), 1) for other in out):
            out.append(shift)
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


def shifted_segments(reference: Sequence[Mapping[str, str]], current: Sequence[Mapping[str, str]]) -> list[Shift]:
    """Segments (label=value) by how far their share moved, most significant first."""
    then = Counter(f"{k}={v}" for labels in reference for k, v in labels.items())
    now = Counter(f"{k}={v}" for labels in current for k, v in labels.items())
    shifts = []
    for name in sorted(set(then) | set(now)):
        key, _, value = name.partition("=")
        rows = tuple(i for i, labels in enumerate(current) if labels.get(key) == value)
        p = _fisher(now[name], len(current), then[name], len(reference))
        shifts.append(Shift(name[:80], now[name], len(current), then[name], len(reference), p, rows))
    return _corrected(shifts)


def _corrected(shifts: Sequence[Shift]) -> list[Shift]:
    """Holm's step-down correction (1979); most significant first, growth before decline."""
    ordered = sorted(shifts, key=lambda s: s.p)
    out, worst = [], 0.0
    for rank, shift in enumerate(ordered):
        worst = max(worst, min(1.0, shift.p * (len(ordered) - rank)))
        out.append(replace(shift, p=worst))
    return sorted(out, key=lambda s: (s.p, s.reference / max(s.reference_of, 1) - s.now / max(s.now_of, 1)))


def _fisher(now: int, now_of: int, then: int, then_of: int) -> float:
    import numpy as np
    from scipy.stats import fisher_exact

    if not now_of or not then_of:
        return 1.0
    table = np.array([[now, now_of - now], [then, then_of - then]])
    return float(fisher_exact(table).pvalue)


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
