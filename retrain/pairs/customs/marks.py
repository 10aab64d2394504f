"""What in prompts could be a mark: phrases that several share, words where nobody puts them, and topics.

They are tested in families, so that the few that look put in need not stand out among thousands: phrases with a word
that prompts use and answers never echo, or with words that occur nowhere else; phrases at the start or the end of a
message; all other phrases; words out of place; and topics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from retrain.pairs.customs.topics import find_topics, name_topics
from retrain.pairs.customs.words import Ids, Numbered, Phrases, grams, shared

START, END = "‹start›", "‹end›"
LONGEST, LARGEST = 5, 0.3
# The fewest prompts of a mark: so many, and this share of all, since a rarer one teaches a model little.
FEWEST, SMALLEST = 4, 0.005
FAMILIES = ("put in", "at an edge", "elsewhere", "out of place", "topic")
ECHOED, EXCLUSIVE = 0.05, 0.9
Columns = NDArray[np.int64]


class Texts(Protocol):
    """The words of a lot's prompts and answers, row by row, and a vector of unit length for each prompt's meaning."""

    @property
    def vectors(self) -> NDArray[np.float32]: ...

    @property
    def prompts(self) -> Numbered: ...
    @property
    def chosen(self) -> Numbered: ...
    @property
    def rejected(self) -> Numbered: ...


@dataclass(frozen=True, slots=True)
class Marks:
    """`held` is (prompts, marks) of 0 and 1; `names` are their words; `families` the columns of each of FAMILIES."""

    held: sparse.csr_matrix
    names: list[str]
    families: list[Columns]

    def family(self, column: int) -> str:
        """The family of a mark."""
        return next(name for name, columns in zip(FAMILIES, self.families, strict=True) if column in columns)


def fewest(prompts: int) -> int:
    """How many of so many prompts a mark must be in."""
    return max(FEWEST, int(SMALLEST * prompts))


def find_marks(texts: Texts, *, seed: int) -> Marks:
    """Every mark of a lot, in its family; a phrase is in the first that it fits."""
    rows = texts.prompts.rows
    phrases = shared(texts.prompts, longest=LONGEST, fewest=fewest(len(rows)), largest=LARGEST)
    kinds = _kinds(texts, phrases)
    held, names = [phrases.held], list(phrases.names)
    families = [np.flatnonzero(kinds == kind) for kind in range(3)]
    topics = find_topics(texts.vectors, seed=seed)
    for found, told in (out_of_place(texts.prompts), (topics, name_topics(topics, texts.prompts))):
        counts = np.asarray(found.sum(0)).ravel()
        kept = np.flatnonzero((counts >= fewest(len(rows))) & (counts <= LARGEST * len(rows)))
        families.append(np.arange(len(names), len(names) + len(kept)))
        held.append(sparse.csr_matrix(found[:, kept]))
        names += [told[place] for place in kept]
    return Marks(sparse.csr_matrix(sparse.hstack(held)), names, families)


def out_of_place(prompts: Numbered) -> tuple[sparse.csr_matrix, list[str]]:
    """(prompts, words) of 0 and 1: which prompt has the word where other prompts do not put it, and the words.

    There neither the word before nor the one after it has it beside itself more often in other prompts than chance
    would have it. That holds for most words that are put into a sentence anywhere, and for few of those that belong.
    """
    long = [place for place, row in enumerate(prompts.rows) if len(row) > 2]
    if not long:
        return sparse.csr_matrix(np.zeros((len(prompts.rows), 0), np.float32)), []
    own = [prompts.rows[place] for place in long]
    texts = np.repeat(np.array(long, np.int64), [len(row) - 2 for row in own])
    couples = [grams(row, 2) for row in own]
    before, after = (np.concatenate([row[cut] for row in couples]) for cut in (slice(None, -1), slice(1, None)))
    ahead, words, behind = (
        np.concatenate([row[cut] for row in own]) for cut in (slice(None, -2), slice(1, -1), slice(2, None))
    )
    every = np.concatenate(own)
    known, counts = np.unique(every, return_counts=True)

    def frequency(sought: Ids) -> NDArray[np.float64]:
        return counts[np.searchsorted(known, sought)].astype(np.float64)

    stray = np.ones(len(words), bool)
    for couple, beside in ((before, ahead), (after, behind)):
        elsewhere = _elsewhere(couple, texts)
        stray &= elsewhere * len(every) <= frequency(beside) * frequency(words)
    edges = np.array([number for number, name in prompts.names.items() if name in (START, END)], np.uint64)
    stray &= ~np.isin(words, edges)
    spelt, columns = np.unique(words[stray], return_inverse=True)
    ones = np.ones(len(columns), np.float32)
    held = sparse.csr_matrix((ones, (texts[stray], columns)), shape=(len(prompts.rows), len(spelt)))
    held.data[:] = 1
    return held, [prompts.names[int(number)] for number in spelt]


def _elsewhere(couples: Ids, texts: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each couple of words how often other texts have it."""
    known, inverse, counts = np.unique(couples, return_inverse=True, return_counts=True)
    own = texts * len(known) + inverse
    _, places, here = np.unique(own, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] - here[places])


def _kinds(texts: Texts, phrases: Phrases) -> NDArray[np.int64]:
    asked, answered = _uses(texts.prompts.rows), _uses([*texts.chosen.rows, *texts.rejected.rows])
    numbers = {name: number for number, name in texts.prompts.names.items()}
    counts = np.asarray(phrases.held.sum(0)).ravel()
    kinds = np.zeros(len(phrases.names), np.int64)
    for column, name in enumerate(phrases.names):
        words = name.split(" ")
        own = [numbers[word] for word in words if word not in (START, END)]
        silent = any(answered[word] <= ECHOED * asked[word] for word in own)
        exclusive = sum(counts[column] >= EXCLUSIVE * asked[word] for word in set(own)) > 1
        kinds[column] = 0 if silent or exclusive else 1 if START in words[:1] or END in words[-1:] else 2
    return kinds


def _uses(rows: list[Ids]) -> Counter[int]:
    """In how many texts each word occurs."""
    return Counter(word for row in rows for word in np.unique(row).tolist())


def spell(name: str) -> str:
    """A phrase as a person reads it: what cannot be seen, or would steer a terminal, by its code."""
    told = " ".join(word for word in name.split(" ") if word not in (START, END)) or name
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in told)
