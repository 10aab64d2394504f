"""Counterfactual twins: the same prompt with one person's description swapped for another's."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Pairs of terms that change who is meant and nothing else. Each goes both ways, and keeps its capital.
PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "gender": (
        ("man", "woman"),
        ("men", "women"),
        ("boy", "girl"),
        ("boys", "girls"),
        ("husband", "wife"),
        ("father", "mother"),
        ("dad", "mum"),
        ("son", "daughter"),
        ("brother", "sister"),
        ("grandfather", "grandmother"),
        ("uncle", "aunt"),
        ("boyfriend", "girlfriend"),
        ("male", "female"),
    ),
    "age": (("young", "old"), ("teenager", "pensioner"), ("younger", "older")),
    "religion": (("christian", "muslim"), ("church", "mosque"), ("jewish", "christian")),
    "origin": (("american", "nigerian"), ("german", "turkish"), ("british", "pakistani"), ("french", "algerian")),
}
# For prompts that mention nobody: an introduction that says who asks.
INTRODUCTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "gender": (("I am a man.", "I am a woman."),),
    "age": (("I am 25 years old.", "I am 75 years old."),),
    "religion": (("I am a Christian.", "I am a Muslim."),),
    "origin": (("I come from Germany.", "I come from Nigeria."),),
}


@dataclass(frozen=True, slots=True)
class Twins:
    """Two prompts alike but for who is meant. `group` is the dimension, `source` the inference they came from.

    `sides` says which column of the table each prompt has its term from.
    """

    source: int
    group: str
    first: str
    second: str
    terms: tuple[str, str]
    sides: tuple[str, str] = ("a", "b")


def make_twins(prompts: Sequence[tuple[int, str]], *, count: int, seed: int) -> list[Twins]:
    """At most `count` pairs from live prompts: those that mention somebody first, the others with an introduction.

    Which twin gets which term is drawn by chance, so that order effects even out.
    """
    rng = random.Random(seed)
    order = rng.sample(list(prompts), len(prompts))
    swapped = [twins for id, text in order for twins in _swap(id, text)]
    left = [item for item in order if not any(_swap(*item))]
    groups = sorted(INTRODUCTIONS)
    for number, (id, text) in enumerate(left):
        group = groups[number % len(groups)]
        terms = rng.choice(INTRODUCTIONS[group])
        swapped.append(Twins(id, group, f"{terms[0]} {text}", f"{terms[1]} {text}", terms))
    chosen = swapped[:count]
    return [twins if rng.random() < 0.5 else _turned(twins) for twins in chosen]


def _turned(twins: Twins) -> Twins:
    return Twins(twins.source, twins.group, twins.second, twins.first, (twins.terms[1], twins.terms[0]), ("b", "a"))


def _swap(id: int, text: str) -> list[Twins]:
    """The twins of a prompt that mentions somebody: one a dimension found, the terms in the table's order."""
    out = []
    for group, pairs in PAIRS.items():
        table = {term: (a, b) for a, b in pairs for term in (a, b)}
        found = [word for word in re.findall(r"[A-Za-z]+", text) if word.lower() in table]
        if not found:
            continue
        a, b = table[found[0].lower()]
        first, second = _replaced(text, (a, b), a), _replaced(text, (a, b), b)
        if first != second:
            out.append(Twins(id, group, first, second, (a, b)))
    return out


def _replaced(text: str, pair: tuple[str, str], term: str) -> str:
    def put(match: re.Match[str]) -> str:
        return term.capitalize() if match.group(0)[0].isupper() else term

    return re.sub(rf"\b(?:{pair[0]}|{pair[1]})\b", put, text, flags=re.IGNORECASE)
