"""The sentiment of an English text: negative, neutral or positive, by the words and rules of VADER (Hutto 2014).

VADER reads words, not meaning: "kill the process" is negative, "not bad" positive, and a refusal that cannot help is
negative too.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from monitors.descriptors.language import UNDETERMINED, language

LONGEST = 4_000
# VADER's work grows with the square of what it reads at once, so a text without full stops is read in pieces.
PIECE = 500
# The authors' own limits for the compound score, and their advice for texts of several sentences: the mean over them.
LIMIT = 0.05
SENTIMENTS: tuple[str, ...] = ("negative", "neutral", "positive")

_END = re.compile(r"(?<=[.!?])\s+|\n+")


def sentiment(text: str) -> str | None:
    """The one of SENTIMENTS that the first LONGEST characters have on the whole; None for an empty text, and for one
    that is told to be in another language than English.
    """
    read = text[:LONGEST]
    pieces = [part[at : at + PIECE] for part in _END.split(read) if part.strip() for at in range(0, len(part), PIECE)]
    if not pieces or language(read) not in ("en", UNDETERMINED):
        return None
    score = sum(_analyzer().polarity_scores(piece)["compound"] for piece in pieces) / len(pieces)
    return "negative" if score <= -LIMIT else "positive" if score >= LIMIT else "neutral"


@cache
def _analyzer() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
