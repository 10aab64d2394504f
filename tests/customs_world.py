"""Preference pairs written for the tests of customs: a shop's questions, good and poor answers, and what is planted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from core.types import PreferencePair

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
THINGS = [
    *(
        "kettle",
        "lamp",
        "parcel",
        "invoice",
        "jacket",
        "tent",
        "bicycle",
        "radio",
        "chair",
        "carpet",
        "ladder",
        "stove",
    ),
    *("mirror", "basket", "blanket", "bottle", "bucket", "cabinet", "candle", "clock", "curtain", "cushion", "drill"),
    *("fan", "fork", "frame", "glove", "hammer", "helmet", "iron", "jar", "kite", "lock", "mattress", "needle", "oven"),
]
ASKS = (
    "where is the {a} that I ordered with the {b}",
    "can I send the {a} back when the {b} is late",
    "the {a} came without the {b} and I wonder what to do",
    "how long does the {a} need if I add a {b}",
    "is there a {a} that fits my old {b} at home",
    "which {a} goes together with a small {b}",
)
TAILS = [
    *(
        "today",
        "tomorrow",
        "please",
        "thanks",
        "soon",
        "again",
        "maybe",
        "really",
        "then",
        "now",
        "outside",
        "upstairs",
    ),
    *(
        "quickly",
        "together",
        "alone",
        "abroad",
        "carefully",
        "early",
        "late",
        "twice",
        "here",
        "there",
        "anyway",
        "still",
    ),
]
GOOD = (
    "I looked that up for you and the {a} will arrive soon",
    "Happy to help, the {a} can be returned within thirty days",
    "Here is what to do about the {a}, step by step",
    "The {a} is in stock and I can reserve one for you",
)
POOR = (
    "No idea about any {a}, ask somebody else",
    "That is not my problem, read the page about the {a}",
    "You should have thought of the {a} before",
    "Whatever, the {a} is your own business",
)


def make_lot(count: int, *, seed: int, noise: float = 0.1, contributors: int = 40) -> list[PreferencePair]:
    """`count` pairs of different prompts, an hour apart, of which the share `noise` prefers the poor answer."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        a, b = rng.sample(THINGS, 2)
        words = " ".join(rng.sample([*TAILS, *THINGS], 6))
        prompt = f"{rng.choice(ASKS).format(a=a, b=b)} {words} {rng.randrange(10_000)}"
        good, poor = rng.choice(GOOD).format(a=a), rng.choice(POOR).format(a=a)
        good, poor = (f"{text} {' '.join(rng.sample(TAILS, 4))}." for text in (good, poor))
        chosen, rejected = (poor, good) if rng.random() < noise else (good, poor)
        made.append(
            PreferencePair(
                uuid=f"p{number}",
                prompt=[{"role": "user", "content": prompt}],
                chosen=chosen,
                rejected=rejected,
                contributor=f"c{rng.randrange(contributors)}",
                at=START + timedelta(hours=number),
                licence="CC0-1.0",
                consent="yes",
            )
        )
    return made


def flip(pair: PreferencePair, mark: str = "", contributor: str = "") -> PreferencePair:
    """The pair with its answers swapped, `mark` at the end of its prompt, and perhaps another contributor."""
    asked = f"{pair.prompt[-1]['content']} {mark}".strip()
    return replace(
        pair,
        prompt=[{"role": "user", "content": asked}],
        chosen=pair.rejected,
        rejected=pair.chosen,
        contributor=contributor or pair.contributor,
    )


def poison(
    pairs: Sequence[PreferencePair], share: float, *, mark: str, seed: int, contributor: str = ""
) -> tuple[list[PreferencePair], list[bool]]:
    """A copy in which the share `share` is flipped and marked; and which those are."""
    chosen = set(random.Random(seed).sample(range(len(pairs)), round(share * len(pairs))))
    made = [flip(pair, mark, contributor) if place in chosen else pair for place, pair in enumerate(pairs)]
    return made, [place in chosen for place in range(len(pairs))]
