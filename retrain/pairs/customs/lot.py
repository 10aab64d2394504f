"""The pairs under inspection, and what several checks need to know of them; each is worked out once, when asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.types import PreferencePair
from retrain.pairs.customs.labels import Labels, judge
from retrain.pairs.customs.marks import END, START
from retrain.pairs.customs.minhash import clusters, jaccard, shingles
from retrain.pairs.customs.preference import Margins, cross_fit, features
from retrain.pairs.customs.topics import Embed, by_words
from retrain.pairs.customs.words import LONGEST_TEXT, Ids, Numbered, split
from retrain.pairs.split import normalise, words

# Prompts that share so much of their phrases are one prompt written twice.
SAME_PROMPT = 0.6
# Of a pair that nearly repeats another, each side shares so much of its words.
SAME_SIDE = 0.7
# From this share on of pairs whose prompt another has, prompts repeat.
_REPEATED = 0.1
# What the chat model tells of labels (retrain.pairs.margins): its margin as it is, and that of fits on other prompts.
REFERENCE, HELD_OUT = "reference", "held_out"
_TELLING = 4
# What this share of the prompts begin with, or hold, is a form they were written in and says nothing of their topic.
_TEMPLATE = 0.05


class Lot:
    """Pairs in their order. `seed` decides what is drawn at random; `embed` tells which prompts mean alike, their words
    do so without it. `told` are margins by the chat model itself, by REFERENCE or HELD_OUT, NaN where it was not asked.
    """

    def __init__(
        self,
        pairs: Sequence[PreferencePair],
        *,
        seed: int = 0,
        embed: Embed | None = None,
        told: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> None:
        self.pairs, self.seed, self.embed, self.told = pairs, seed, embed, told or {}

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(pairs, width), of unit length: what each prompt's last message, or its words, are about."""
        if self.embed is None:
            return by_words(self.prompts)
        return self.embed([pair.prompt[-1]["content"] if pair.prompt else "" for pair in self.pairs])

    @cached_property
    def prompts(self) -> Numbered:
        """The words of each prompt, with a sign of its own where a message begins and where it ends."""
        return Numbered(
            [word for message in pair.prompt for word in (START, *split(message["content"][:LONGEST_TEXT]), END)]
            for pair in self.pairs
        )

    @cached_property
    def chosen(self) -> Numbered:
        """The words of each chosen answer."""
        return Numbered(split(pair.chosen) for pair in self.pairs)

    @cached_property
    def rejected(self) -> Numbered:
        """The words of each rejected answer."""
        return Numbered(split(pair.rejected) for pair in self.pairs)

    @cached_property
    def prompt_shingles(self) -> list[Ids]:
        """The phrases of each prompt, as a set."""
        return [shingles(row) for row in self.prompts.rows]

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """A number for each pair: equal for prompts that are nearly the same, or that go on from the same question."""
        sets = _own(self.prompt_shingles)
        near = clusters(sets, lambda a, b: jaccard(sets[a], sets[b]) >= SAME_PROMPT, seed=self.seed)
        openings = [self._opening(pair) for pair in self.pairs]
        told = Counter(openings)
        first: dict[str, int] = {}
        merged: dict[int, int] = {}
        for place, opening in enumerate(openings):
            if opening.count(" ") + 1 >= _TELLING and told[opening] <= _TEMPLATE * len(openings):
                other = first.setdefault(opening, int(near[place]))
                one, two = _root(merged, other), _root(merged, int(near[place]))
                merged[max(one, two)] = min(one, two)
        roots = [_root(merged, int(number)) for number in near]
        return np.unique(roots, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """A number for each pair: equal for pairs that are nearly the same in prompt, chosen and rejected."""
        sides = [self.prompts.rows, self.chosen.rows, self.rejected.rows]
        bags = [[np.unique(row) for row in rows] for rows in sides]
        # The three sides are kept apart by a mark, so that swapped answers are no repeats.
        marks = np.array([0, 0x5555555555555555, 0x3333333333333333], np.uint64)
        sets = [
            np.unique(np.concatenate([shingles(rows[place]) ^ mark for rows, mark in zip(sides, marks, strict=True)]))
            for place in range(len(self.pairs))
        ]

        def alike(one: int, other: int) -> bool:
            return all(jaccard(bag[one], bag[other]) >= SAME_SIDE for bag in bags)

        return clusters(sets, alike, seed=self.seed)

    @cached_property
    def views(self) -> list[Margins]:
        """What preference models think of each pair: one fitted on other prompts and, where prompts repeat, one fitted
        on all pairs that are not exactly the same. Empty with too few prompts.

        Pairs of the same prompt say by far the most of each other, unless somebody repeats what is wrong; so that
        neither view replaces the other.
        """
        given = features(self.prompts, self.chosen, self.rejected)
        fitted = [cross_fit(given, self.groups, seed=self.seed)]
        if len(np.unique(self.groups)) < (1 - _REPEATED) * len(self.pairs):
            sides = zip(self.prompts.rows, self.chosen.rows, self.rejected.rows, strict=True)
            numbers: dict[tuple[bytes, ...], int] = {}
            same = [numbers.setdefault(tuple(row.tobytes() for row in rows), len(numbers)) for rows in sides]
            fitted.append(cross_fit(given, np.array(same, np.int64), seed=self.seed))
        return [] if fitted[0] is None else [view for view in fitted if view is not None]

    @property
    def margins(self) -> Margins | None:
        """What a preference model fitted on the other prompts thinks of each pair; None with too few prompts."""
        return self.views[0] if self.views else None

    @cached_property
    def labels(self) -> Labels | None:
        """How far each label can be believed, by all views and the chat model's fits; None with too few prompts.

        Its fits are no view: they read prompts, so that one on poisoned pairs vouches for their trigger. Its margin as
        it is has no say: it knows too little of what the labels follow.
        """
        if not self.views:
            return None
        told = [self.told[HELD_OUT]] if HELD_OUT in self.told else []
        return judge([*(view.values for view in self.views), *told], self.groups)

    @cached_property
    def votes(self) -> dict[tuple[str, tuple[str, ...]], dict[str, bool]]:
        """Who preferred which, by prompt and its two answers, where several people judged; the last word counts."""
        told: dict[tuple[str, tuple[str, ...]], dict[str, bool]] = defaultdict(dict)
        for pair in self.pairs:
            answers = (words(pair.chosen), words(pair.rejected))
            if pair.contributor:
                told[normalise(pair.prompt), tuple(sorted(answers))][pair.contributor] = answers[0] < answers[1]
        return {item: said for item, said in told.items() if len(said) > 1}

    @staticmethod
    def _opening(pair: PreferencePair) -> str:
        asked = next((message["content"] for message in pair.prompt if message["role"] == "user"), "")
        return words(asked[:LONGEST_TEXT])


def _own(sets: Sequence[Ids]) -> list[Ids]:
    """The sets without what so many hold that it is a template's; a set that is nothing else stays as it is."""
    known, counts = np.unique(np.concatenate([*sets, np.zeros(0, np.uint64)]), return_counts=True)
    common = known[counts > max(_TELLING, _TEMPLATE * len(sets))]
    rest = [np.setdiff1d(members, common, assume_unique=True) for members in sets]
    return [kept if len(kept) else members for kept, members in zip(rest, sets, strict=True)]


def _root(merged: dict[int, int], number: int) -> int:
    while merged.get(number, number) != number:
        number = merged[number]
    return number
