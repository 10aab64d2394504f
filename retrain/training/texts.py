"""Unlabelled texts to adapt to: read, cleared of whatever shows personal data, and turned into tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitors.descriptors.personal import LONGEST, kinds
from retrain.training.encoding import encode_text, first_token
from retrain.training.rows import Tokens
from retrain.training.spec import Message, parse_prompt, read_rows

# Longer than any mark of personal data, so that none is cut in two where a long text is searched in parts.
_OVERLAP = 200


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text as it was written, or a conversation as messages."""

    id: str
    text: str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text as token ids: its first token is given, every later one is predicted."""

    id: str
    tokens: Tokens

    @property
    def sequences(self) -> tuple[Tokens]:
        return (self.tokens,)


def read_texts(path: Path) -> list[PlainText]:
    """The texts of a JSONL file. Raises InvalidInput that names the first bad line."""
    return read_rows(path, parse_text, "text", "A text is a JSON object with id and text (a text, or messages).")


def parse_text(row: Mapping[str, Any]) -> PlainText:
    """The text in a JSON object. Raises ValueError, KeyError or TypeError for anything else."""
    return PlainText(str(row["id"]), parse_prompt(row["text"]))


def is_private(text: PlainText) -> bool:
    """Whether the monitors' detector of personal data finds anything in it, however long it is."""
    parts = [text.text] if isinstance(text.text, str) else [message["content"] for message in text.text]
    return any(
        kinds(part[start : start + LONGEST]) for part in parts for start in range(0, len(part) or 1, LONGEST - _OVERLAP)
    )


def encode_texts(tokenizer: Any, texts: Sequence[PlainText], max_length: int) -> tuple[list[EncodedText], list[str]]:
    """The texts as token ids, and the ids of those left out for being longer than `max_length` tokens.

    A conversation is written as the chat template writes it; a plain text begins with the tokenizer's first token.
    """
    encoded: list[EncodedText] = []
    skipped: list[str] = []
    for text in texts:
        ids = encode_whole(tokenizer, text.text)
        if len(ids) > max_length:
            skipped.append(text.id)
        elif len(ids) > 1:
            encoded.append(EncodedText(text.id, Tokens(ids[:1], ids[1:])))
    return encoded, skipped


def encode_whole(tokenizer: Any, text: str | Sequence[Message]) -> tuple[int, ...]:
    if isinstance(text, str) or tokenizer.chat_template is None:
        plain = text if isinstance(text, str) else "\n".join(message["content"] for message in text)
        return (first_token(tokenizer), *encode_text(tokenizer, plain))
    return encode_text(tokenizer, tokenizer.apply_chat_template(list(text), tokenize=False))
