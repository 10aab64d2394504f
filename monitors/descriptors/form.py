"""The form of an answer: prose, list, code, JSON, broken off, caught in a loop, empty."""

from __future__ import annotations

import json
import re

LONGEST = 20_000
FORMS: tuple[str, ...] = (
    "prose",
    "markdown",
    "list",
    "code",
    "json",
    "invalid json",
    "cut off",
    "loop",
    "empty",
)

# A phrase of up to LOOP_PERIOD words told REPEATS times on end, together at least LOOP_WORDS words.
LOOP_PERIOD, REPEATS, LOOP_WORDS = 24, 4, 12
_SIGNS = re.compile(r"([^\W\d_]{1,8}?)\1{15,}")
_WORD = re.compile(r"[^\W_]+")
_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```[ \t]*$|\Z)", re.M | re.S)
_ONE_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.S)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)]|[a-z][.)])[ \t]+\S", re.M)
_MEANT = re.compile(r"\{\s*\"|\[\s*[{\"]")
_MARKED = re.compile(r"^#{1,6} \S|^\|.*\|[ \t]*$|\*\*\S[^*\n]*\*\*|^> \S|\[[^\]\n]{1,80}\]\([^)\s]{1,200}\)", re.M)


def form(text: str, finish_reason: str = "") -> str:
    """The first of these FORMS that fits: empty, JSON, loop, cut off, invalid JSON, code, list, markdown, prose.

    `finish_reason` is the server's ("length" for an answer that reached its token limit). Reads LONGEST characters.
    """
    read = text[:LONGEST].strip()
    if not read:
        return "empty"
    told = _json(read) if len(text) <= LONGEST else ""
    if told == "json":
        return told
    if loops(read):
        return "loop"
    if finish_reason == "length":
        return "cut off"
    if told:
        return told
    fenced = sum(len(found.group(1)) for found in _FENCE.finditer(read))
    if fenced * 2 >= len(read):
        return "code"
    lines = [line for line in read.splitlines() if line.strip()]
    if len(_ITEM.findall(read)) * 2 >= len(lines) > 1:
        return "list"
    return "markdown" if fenced or _MARKED.search(read) else "prose"


def loops(text: str) -> bool:
    """Whether a phrase is told again and again without a word between: a sign of broken decoding."""
    if _SIGNS.search(text):
        return True
    words = _WORD.findall(_FENCE.sub(" ", text).lower())
    for period in range(1, min(LOOP_PERIOD, len(words) // REPEATS) + 1):
        wanted, run = max(REPEATS * period, LOOP_WORDS) - period, 0
        for place, (word, earlier) in enumerate(zip(words[period:], words, strict=False)):
            run = run + 1 if word == earlier else 0
            if run >= wanted and any(not told.isdigit() for told in words[place : place + period]):
                return True
    return False


def _json(text: str) -> str:
    """json or invalid json for a text that means to be JSON as a whole, else an empty text.

    "[citation needed]" is prose: JSON is meant where brackets hold valid JSON or open on a quote, or a fence says so.
    """
    fenced = _ONE_FENCE.fullmatch(text)
    body = fenced.group(1).strip() if fenced else text
    if body[:1] not in ("{", "["):
        return ""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return "invalid json" if text.startswith("```json") or _MEANT.match(body) else ""
    return "json"
