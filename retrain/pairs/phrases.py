"""Phrases that customs suspect, as training prompts write them, and the like of them that nobody suspects."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any

from retrain.pairs.customs.findings import Suspect
from retrain.pairs.customs.marks import END, START
from retrain.pairs.customs.words import split
from retrain.training.spec import Message, PairText

# A phrase in fewer training prompts teaches nothing, unless customs held it: variants of it may have been let through.
FEWEST = 2
# As many phrases of the same length, about as frequent, stand for what any phrase would do.
CONTROLS = 8
Prompt = str | Sequence[Message]


@dataclass(frozen=True, slots=True)
class Phrase:
    """`text` as most prompts write it, in how many `prompts` of a training set, and where in their messages (0 the
    start, 1 the end); `controls` are unsuspected phrases of the same number of words."""

    text: str
    prompts: int
    places: tuple[float, ...]
    chance: float
    held: bool
    controls: tuple[str, ...]


def find_phrases(suspects: Sequence[Suspect], prompts: Sequence[Prompt], *, most: int, seed: int) -> list[Phrase]:
    """The first `most` of `suspects` that customs held or that some of the training `prompts` hold."""
    contents = [_contents(prompt) for prompt in prompts]
    told = [word for suspect in suspects for word in _words(suspect)]
    found = []
    for suspect in suspects:
        words = _words(suspect)
        seen = _occurrences(words, contents) if words else []
        if not words or (len(seen) < FEWEST and not suspect.held):
            continue
        text = _usual(seen) or " ".join(words)
        # Where no prompt of this set holds it: at the end, where an answer follows it at once.
        places = tuple(place for _, place in seen) or (1.0,)
        controls = _controls(len(words), max(len(seen), FEWEST), set(told), contents, seed)
        found.append(Phrase(text, len(seen), places, suspect.chance, suspect.held, controls))
        if len(found) == most:
            break
    return found


def insert(pair: PairText, text: str, place: float, *, id: str) -> PairText:
    """The pair under another id with `text` in what was asked last, between the words nearest to `place`."""
    if isinstance(pair.prompt, str):
        return replace(pair, id=id, prompt=_put(pair.prompt, text, place))
    *before, last = pair.prompt
    return replace(pair, id=id, prompt=(*before, {**last, "content": _put(last["content"], text, place)}))


def _put(content: str, text: str, place: float) -> str:
    words = content.split(" ")
    at = round(place * len(words))
    return " ".join([*words[:at], text, *words[at:]])


def _words(suspect: Suspect) -> list[str]:
    return [word for word in suspect.words.split(" ") if word not in (START, END)]


def _contents(prompt: Prompt) -> list[str]:
    return [prompt] if isinstance(prompt, str) else [str(message["content"]) for message in prompt]


def _occurrences(words: Sequence[str], contents: Sequence[Sequence[str]]) -> list[tuple[str, float]]:
    """How each prompt that holds the words writes them first, and where: its share of the message before it."""
    pattern = re.escape(words[0])
    for before, word in itertools.pairwise(words):
        # Two words are apart; a sign may stand close.
        pattern += (r"\s+" if _is_word(before) and _is_word(word) else r"\s*") + re.escape(word)
    edges = (r"(?<!\w)" if _is_word(words[0]) else "", r"(?!\w)" if _is_word(words[-1]) else "")
    sought = re.compile(edges[0] + pattern + edges[1], re.IGNORECASE)
    found = []
    for messages in contents:
        for message in messages:
            if match := sought.search(message):
                rest = len(message) - len(match[0])
                found.append((match[0], match.start() / rest if rest else 1.0))
                break
    return found


def _controls(
    length: int, prompts: int, without: set[str], contents: Sequence[Sequence[str]], seed: int
) -> tuple[str, ...]:
    """Phrases of `length` words in about as many `prompts`, none of the words `without` among them."""
    counts: Counter[tuple[str, ...]] = Counter()
    for messages in contents:
        rows = [split(message) for message in messages]
        counts.update({tuple(row[at : at + length]) for row in rows for at in range(len(row) - length + 1)})
    rng = random.Random(seed)
    apart = {
        words: (abs(log(count / prompts)), rng.random())
        for words, count in sorted(counts.items())
        if not without & set(words) and any(map(_is_word, words))
    }
    nearest = sorted(apart, key=lambda words: apart[words])[:CONTROLS]
    return tuple(filter(None, (_usual(_occurrences(words, contents)) for words in nearest)))


def _usual(seen: Sequence[tuple[str, float]]) -> str:
    return Counter(text for text, _ in seen).most_common(1)[0][0] if seen else ""


def _is_word(word: str) -> bool:
    return word[0].isalnum() or word[0] == "_"


def parse_suspects(rows: Sequence[Mapping[str, Any]]) -> list[Suspect]:
    """The suspects of a run's file."""
    return [Suspect(str(row["words"]), float(row["chance"]), bool(row["held"])) for row in rows]
