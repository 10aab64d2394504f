"""The texts that this product judges models by: its probe suites and fairness questions."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, NotFound
from monitors.probes import probes
from monitors.probes.rotation import catalogue
from monitors.questions import read_questions
from retrain.pairs.customs.contamination import strings


@cache
def own_texts() -> dict[str, list[str]]:
    """What the shipped suites ask, by the suite's name; the system prompts around it are left out."""
    found = {}
    for name in probes:
        asked = (message for prompt in catalogue([name], seed=0) for message in prompt.messages)
        told = (str(message["content"]) for message in asked if message["role"] == "user")
        found[f"the probe suite {name}"] = list(dict.fromkeys(told))
    questions, _ = read_questions()
    asked_of = dict.fromkeys(f"{question.context} {question.question}" for question in questions)
    found["the fairness questions"] = list(asked_of)
    return found


def read_texts(path: Path) -> list[str]:
    """Every text of some length in a file of JSON lines or of plain lines (also .gz). Raises InvalidInput, NotFound."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "Check its name.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InvalidInput(f"{path} cannot be read ({type(error).__name__}).", "Name a file of text.") from None
    return list(dict.fromkeys(found for line in text.split("\n") for found in strings(_value(line))))


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line
