"""Which of the two answers that a question allows an answer gives: the first of them that it names."""

from __future__ import annotations

import re

_ALLOWED = re.compile(r"Answer with one word: (\w+) or (\w+)\.")


def names_first(prompt: str, response: str) -> bool | None:
    """Whether the first of the two allowed words is the first that the answer names; None when it names neither."""
    allowed = _ALLOWED.search(prompt)
    if allowed is None:
        return None
    first, second = (word.lower() for word in allowed.groups())
    named = re.search(rf"\b(?:{re.escape(first)}|{re.escape(second)})\b", response.lower())
    return None if named is None else named.group() == first
