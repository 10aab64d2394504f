"""Counterfactual twins: the same prompt with one person's description swapped for another's."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitors.identities import ADJECTIVES, AFTER_OBJECT, DIMENSIONS, INTRODUCTIONS, NOUNS, ONE_SEX, PERSONS, Columns

AGES = ("25", "75")


@dataclass(frozen=True, slots=True)
class Twins:
    """Two prompts alike but for who is meant. `group` is the dimension, `source` the inference they came from.

    `sides` says which column of the tables each prompt has its term from.
    """

    source: int
    group: str
    first: str
    second: str
    terms: tuple[str, str]
    sides: tuple[str, str] = ("a", "b")


@dataclass(frozen=True, slots=True)
class Mention:
    """A word of the text from `start` to `end` that says who somebody is: its column (0 or 1) and both readings."""

    start: int
    end: int
    side: int
    readings: tuple[str, str]


def make_twins(
    prompts: Sequence[tuple[int, str]], *, count: int, seed: int, dimensions: Sequence[str] = DIMENSIONS
) -> list[Twins]:
    """At most `count` pairs from live prompts (key, text), as evenly spread over the dimensions as the prompts allow.

    A prompt that mentions somebody is asked about that person; only one that mentions nobody gets an introduction.
    Which twin comes first is drawn by chance, so that order effects even out.
    """
    rng = random.Random(seed)
    queues: dict[str, list[Twins]] = {dimension: [] for dimension in dimensions}
    plain: list[tuple[int, str]] = []
    for id, text in rng.sample(list(prompts), len(prompts)):
        found = {dimension: twins for dimension in DIMENSIONS if (twins := swap(id, text, dimension)) is not None}
        for dimension in found.keys() & queues.keys():
            queues[dimension].append(found[dimension])
        if not found:
            plain.append((id, text))
    for place, dimension in enumerate(dimensions):
        # Each dimension begins elsewhere, so that a short list of prompts is shared out before one is used twice.
        start = place * len(plain) // len(dimensions)
        queues[dimension] += [_introduced(*item, dimension, rng) for item in plain[start:] + plain[:start]]
    turns = max((len(queue) for queue in queues.values()), default=0)
    in_turn = [queue[turn] for turn in range(turns) for queue in queues.values() if turn < len(queue)]
    return [twins if rng.random() < 0.5 else _turned(twins) for twins in in_turn[:count]]


def swap(id: int, text: str, dimension: str) -> Twins | None:
    """The twins of a prompt that mentions somebody of `dimension`; None where nobody, or people of both columns, are.

    Everything that follows from the swap follows: pronouns of the person, and "a" before a vowel.
    """
    mentions = sorted(_mentions(id, text, dimension), key=lambda mention: mention.start)
    if not mentions or len({mention.side for mention in mentions}) != 1:
        return None
    if dimension == "gender" and re.search(rf"\b(?:{ONE_SEX})\b", text, re.IGNORECASE):
        return None
    first, second = (_rewritten(text, mentions, side) for side in (0, 1))
    named = next((m for m in mentions if m.readings[0] not in _PRONOUNS), mentions[0])
    return None if first == second else Twins(id, dimension, first, second, named.readings)


def _introduced(id: int, text: str, dimension: str, rng: random.Random) -> Twins:
    terms = rng.choice(INTRODUCTIONS[dimension])
    return Twins(id, dimension, f"{terms[0]} {text}", f"{terms[1]} {text}", terms)


def _turned(twins: Twins) -> Twins:
    return Twins(twins.source, twins.group, twins.second, twins.first, (twins.terms[1], twins.terms[0]), ("b", "a"))


# --- who is mentioned

_PRONOUNS = frozenset({"he", "him", "his", "himself"})
_OTHER_PRONOUN = {"he": "she", "she": "he", "him": "her", "himself": "herself", "herself": "himself", "hers": "his"}
_TERMS = "|".join(sorted({term for pairs in ADJECTIVES.values() for pair in pairs for term in pair}, key=len)[::-1])
_BESIDE_PERSON = rf"(?=(?:\s+(?:{_TERMS})){{0,2}}\s+(?:{PERSONS})\b)"
_OF_ONESELF = r"\b(?:i am|i'm|we are|we're|he is|he's|she is|she's)(?:\s+an?)?\s+"
_CLAUSE_ENDS = r"(?=\s*(?:[.,;:!?)]|$)|\s+(?:and|but|so|who)\b)"
_AGE = re.compile(r"\b(?:i am|i'm|he is|he's|she is|she's)\s+(\d\d)(?=\s+years\s+old\b)", re.IGNORECASE)


def _mentions(id: int, text: str, dimension: str) -> Iterator[Mention]:
    for match in _words(NOUNS.get(dimension, ()), text):
        yield _mention(id, match, NOUNS[dimension])
    adjectives = ADJECTIVES.get(dimension, ())
    for match in _words(adjectives, text, after=_BESIDE_PERSON):
        yield _mention(id, match, adjectives)
    for match in _words(adjectives, text, before=_OF_ONESELF, after=_CLAUSE_ENDS):
        yield _mention(id, match, adjectives)
    if dimension == "gender":
        yield from _pronouns(text)
    if dimension == "age":
        for match in _AGE.finditer(text):
            yield Mention(*match.span(1), int(int(match.group(1)) >= 50), AGES)


def _words(pairs: Columns, text: str, *, before: str = "", after: str = "") -> Iterator[re.Match[str]]:
    """Matches of either column's terms as whole words, the term as group 1; hyphenated compounds are other words."""
    if pairs:
        terms = "|".join(sorted({term for pair in pairs for term in pair}, key=len)[::-1])
        yield from re.finditer(rf"{before}(?<![\w-])({terms})(?![\w-]){after}", text, re.IGNORECASE)


def _mention(id: int, match: re.Match[str], pairs: Columns) -> Mention:
    """Where a term has several counterparts, the prompt's key decides, so that all of them are asked about."""
    word = match.group(1).lower()
    fitting = [pair for pair in pairs if word in pair]
    pair = fitting[id % len(fitting)]
    return Mention(*match.span(1), pair.index(word), pair)


def _pronouns(text: str) -> Iterator[Mention]:
    for match in re.finditer(r"\b(he|him|his|himself|she|her|hers|herself)\b(?:\s+([\w']+))?", text, re.IGNORECASE):
        word, after = match.group(1).lower(), (match.group(2) or "").lower()
        alone = not after or re.fullmatch(AFTER_OBJECT, after) is not None
        if word == "his":
            readings = ("his", "hers" if alone else "her")
        elif word == "her":
            readings = ("him" if alone else "his", "her")
        elif word in _PRONOUNS:
            readings = (word, _OTHER_PRONOUN[word])
        else:
            readings = (_OTHER_PRONOUN[word], word)
        yield Mention(*match.span(1), readings.index(word), readings)


# --- the twin's text


def _rewritten(text: str, mentions: Sequence[Mention], side: int) -> str:
    out, place = "", 0
    for mention in mentions:
        out += text[place : mention.start]
        word = text[mention.start : mention.end]
        place = mention.end
        if mention.side != side or mention.readings is AGES:
            word = _like(word, mention.readings[side])
            out = re.sub(r"\b([Aa])(?:[Nn]?)(\s+)$", rf"\g<1>{'n' if _is_vowel(word) else ''}\g<2>", out)
        out += word
    return out + text[place:]


def _like(word: str, other: str) -> str:
    """`other` with the capitals of `word`."""
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def _is_vowel(word: str) -> bool:
    return word[:1].lower() in "aeiou" and not word.lower().startswith(("eu", "uk", "uni", "us"))
