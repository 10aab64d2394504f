"""Prompts of probe suites and evaluation sets: a model that trained on them is no longer judged by them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from core.types import PreferencePair
from retrain.pairs.customs.findings import Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.words import Ids, Numbered, grams, split

# Runs of this many words are shared by chance about never; a shorter text must be there as a whole.
RUN = 8
COVERED = 0.5
_SHORTEST = 3


class Contamination:
    """Holds pairs whose prompt holds a probe or an evaluation text, or half of its runs of 8 words.

    `against` are those texts by the name of their set; none leaves the check out.
    """

    name = "contamination"

    def __init__(self, against: dict[str, list[str]]) -> None:
        self.against = against

    def run(self, lot: Lot) -> Result:
        texts = [(name, text) for name, found in sorted(self.against.items()) for text in found]
        if not texts:
            return Result(skipped="no texts to compare with")
        rows = Numbered(split(text) for _, text in texts).rows
        known = [(place, row) for place, row in enumerate(rows) if len(row) >= _SHORTEST]
        index: dict[int, set[int]] = defaultdict(set)
        sizes: dict[int, int] = {}
        for place, row in known:
            runs = set(grams(row, min(RUN, len(row))).tolist())
            sizes[place] = len(runs)
            for number in runs:
                index[number].add(place)
        found = _shared(lot, {min(RUN, len(row)) for _, row in known}, np.array(sorted(index), np.uint64))
        findings = []
        for place, numbers in sorted(found.items()):
            hits = Counter(text for number in numbers for text in index[number])
            covered = {text: count / sizes[text] for text, count in hits.items() if count >= COVERED * sizes[text]}
            whole = [text for text in covered if _whole(rows[text], lot.pairs[place])]
            if whole:
                best = max(whole, key=lambda text: (covered[text], -text))
                reason = f"Its prompt holds {covered[best]:.0%} of a text of {texts[best][0]}, which judges models."
                findings.append(Finding(place, "contamination", reason, 0.5))
        return Result(findings, figures={"texts": len(known)})


def strings(value: Any) -> Iterator[str]:
    """Every text of at least _SHORTEST words anywhere within lists and objects."""
    if isinstance(value, str):
        if value.count(" ") + 1 >= _SHORTEST:
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


def _shared(lot: Lot, lengths: Iterable[int], numbers: Ids) -> dict[int, set[int]]:
    """The runs of these lengths in each pair's prompt that are among `numbers`; pairs without any are left out."""
    found: dict[int, set[int]] = defaultdict(set)
    for length in lengths:
        runs = [grams(row, length) for row in lot.prompts.rows]
        places = np.repeat(np.arange(len(runs)), [len(row) for row in runs])
        every = np.concatenate([*runs, np.zeros(0, np.uint64)])
        hit = np.isin(every, numbers)
        for place, number in zip(places[hit].tolist(), every[hit].tolist(), strict=True):
            found[place].add(number)
    return found


def _whole(text: Ids, pair: PreferencePair) -> bool:
    """A text shorter than a run counts only where a message is nothing else."""
    if len(text) >= RUN:
        return True
    messages = Numbered(split(message["content"]) for message in pair.prompt).rows
    return any(len(row) == len(text) and bool((row == text).all()) for row in messages)
