"""The rule by which the demo's simulated customers judge an answer. The console states it word for word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from trimtab.demo.corpus import Question, help_page

RULE = (
    "Simulated customers: after two answers in three they press a thumb. Up, if the answer uses at least one word of "
    "the shop's help page on their topic; down otherwise; one in twenty presses the wrong one. Half of those who press "
    "down also send the help page's answer as a correction."
)
ANSWERING, SLIP, CORRECTING = 2 / 3, 1 / 20, 1 / 2
_WORD = re.compile(r"[a-z]{3,}")


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a customer sends back: a thumb of 1 or -1, and a correction or an empty text."""

    thumb: int
    correction: str


def satisfied(question: Question, answer: str) -> bool:
    """Whether the answer uses a word of the topic."""
    return not question.topic.words.isdisjoint(_WORD.findall(answer.lower()))


def react(question: Question, answer: str, random: Random) -> Reaction | None:
    """A customer's reaction by RULE, or None for the third that says nothing."""
    if random.random() >= ANSWERING:
        return None
    pleased = satisfied(question, answer) is not (random.random() < SLIP)
    wants_to_correct = not pleased and random.random() < CORRECTING
    return Reaction(1 if pleased else -1, help_page(question, random) if wants_to_correct else "")
