"""Unpaired feedback: an answer and whether it was liked, with a mismatched answer beside it to measure drift by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from retrain.training.encoding import encode_prompt, encode_text, end_of_turn
from retrain.training.rows import Tokens
from retrain.training.spec import Message, parse_prompt, read_rows


@dataclass(frozen=True, slots=True)
class ThumbText:
    """One thumb as text: `completion` was the answer to `prompt` (text or messages), and it was liked or not."""

    id: str
    prompt: str | tuple[Message, ...]
    completion: str
    desirable: bool


@dataclass(frozen=True, slots=True)
class Thumb:
    """A thumb as token ids. `mismatched` is the same prompt with another example's completion."""

    id: str
    key: str
    own: Tokens
    mismatched: Tokens
    desirable: bool

    @property
    def sequences(self) -> tuple[Tokens, Tokens]:
        return self.own, self.mismatched


def read_thumbs(path: Path) -> list[ThumbText]:
    """The thumbs of a JSONL file. Raises InvalidInput that names the first bad line."""
    remedy = "A thumb is a JSON object with id, prompt (text or messages), completion and desirable (true or false)."
    return read_rows(path, parse_thumb, "thumb", remedy)


def parse_thumb(row: Mapping[str, Any]) -> ThumbText:
    """The thumb in a JSON object. Raises ValueError, KeyError or TypeError for anything else."""
    prompt, completion, desirable = parse_prompt(row["prompt"]), row["completion"], row["desirable"]
    if not (isinstance(completion, str) and isinstance(desirable, bool)):
        raise ValueError("a thumb has a completion and is desirable or not")
    return ThumbText(str(row["id"]), prompt, completion, desirable)


def encode_thumbs(
    tokenizer: Any, thumbs: Sequence[ThumbText], max_length: int, seed: int
) -> tuple[list[Thumb], list[str]]:
    """The thumbs as token ids, and the ids of those left out because they are longer than `max_length` tokens."""
    ending = end_of_turn(tokenizer)
    told: list[ThumbText] = []
    own: list[Tokens] = []
    skipped: list[str] = []
    for thumb in thumbs:
        tokens = Tokens(encode_prompt(tokenizer, thumb.prompt), encode_text(tokenizer, thumb.completion) + ending)
        if len(tokens.ids) > max_length:
            skipped.append(thumb.id)
        else:
            told.append(thumb)
            own.append(tokens)
    if not told:
        return [], skipped
    encoded: list[Thumb] = []
    for thumb, tokens, partner in zip(told, own, find_partners(own, seed), strict=True):
        # Of an answer too long for this prompt its start will do: a log-ratio can be taken of any prefix.
        mismatched = Tokens(tokens.prompt, own[partner].completion[: max_length - len(tokens.prompt)])
        key = digest_thumb(tokens, mismatched)
        encoded.append(Thumb(thumb.id, key, tokens, mismatched, thumb.desirable))
    return encoded, skipped


def find_partners(own: Sequence[Tokens], seed: int) -> list[int]:
    """For each sequence one of another prompt, by a seeded order; raises InvalidInput when all share one prompt.

    Partners are fixed rather than drawn batch by batch, so that the reference scores each mismatch once and for all.
    """
    import numpy

    order = [int(i) for i in numpy.random.default_rng(seed).permutation(len(own))]
    after = dict(zip(order, order[1:] + order[:1], strict=True))
    ends = [place for place, index in enumerate(order) if own[index].prompt != own[after[index]].prompt]
    if not ends:
        raise InvalidInput("The thumbs have one prompt between them.", "Add thumbs on answers to other prompts.")
    partners = [0] * len(own)
    # Backwards from the end of a stretch of equal prompts: its earlier members share the partner of the last.
    for index in reversed(order[ends[-1] + 1 :] + order[: ends[-1] + 1]):
        following = after[index]
        same = own[index].prompt == own[following].prompt
        partners[index] = partners[following] if same else following
    return partners


def digest_thumb(own: Tokens, mismatched: Tokens) -> str:
    """A digest of a thumb's token ids, apart from those of pairs."""
    ids = ["thumb", own.prompt, own.completion, mismatched.completion]
    return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()[:32]
