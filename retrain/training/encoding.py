"""Pairs of texts as token ids: the chat template's own prompt, then the answer and the token that ends a turn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidInput
from retrain.training.rows import Tokens
from retrain.training.spec import PairText

SENTINEL = "trimtab-end-of-turn"


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A pair as token ids. `key` digests exactly what the model sees, so that cached values follow the content."""

    id: str
    key: str
    chosen: Tokens
    rejected: Tokens
    weight: float = 1.0

    @property
    def sequences(self) -> tuple[Tokens, Tokens]:
        return self.chosen, self.rejected


def encode_pairs(tokenizer: Any, pairs: Iterable[PairText], max_length: int) -> tuple[list[EncodedPair], list[str]]:
    """The pairs as token ids, and the ids of those left out because a sequence is longer than `max_length` tokens."""
    ending = end_of_turn(tokenizer)
    encoded: list[EncodedPair] = []
    skipped: list[str] = []
    for pair in pairs:
        prompt = encode_prompt(tokenizer, pair.prompt)
        answers = [encode_text(tokenizer, text) + ending for text in (pair.chosen, pair.rejected)]
        if len(prompt) + max(len(answer) for answer in answers) > max_length:
            skipped.append(pair.id)
            continue
        chosen, rejected = (Tokens(prompt, answer) for answer in answers)
        encoded.append(EncodedPair(pair.id, digest_tokens(chosen, rejected), chosen, rejected, pair.weight))
    return encoded, skipped


def encode_prompt(tokenizer: Any, prompt: str | Sequence[Any]) -> tuple[int, ...]:
    """The ids a served model would see before it answers: template and generation prompt, or raw text without one."""
    if tokenizer.chat_template is None:
        if not isinstance(prompt, str):
            remedy = "Give the prompts as plain text, or use a model with a chat template."
            raise InvalidInput("The base model has no chat template for prompts made of messages.", remedy)
        ids = tokenizer(prompt)["input_ids"]
        return tuple(ids) or (first_token(tokenizer),)
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return encode_text(tokenizer, text)


def encode_text(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The ids of `text` alone, without the tokens that a tokenizer adds around a document."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])


def first_token(tokenizer: Any) -> int:
    token = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return int(token)


def end_of_turn(tokenizer: Any) -> tuple[int, ...]:
    """What ends an answer: the template's tokens up to the first special one (<|im_end|>, say), else the EOS token."""
    special = set(tokenizer.all_special_ids)
    if tokenizer.chat_template is not None:
        turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
        text = tokenizer.apply_chat_template(turn, tokenize=False)
        after = encode_text(tokenizer, text.rpartition(SENTINEL)[2])
        for index, token in enumerate(after):
            if token in special:
                return after[: index + 1]
    if tokenizer.eos_token_id is None:
        raise InvalidInput(
            "The base model's tokenizer names no token that ends an answer.",
            "Set its eos_token in tokenizer_config.json.",
        )
    return (int(tokenizer.eos_token_id),)


def digest_tokens(chosen: Tokens, rejected: Tokens) -> str:
    """A digest of a pair's token ids."""
    ids = [chosen.prompt, chosen.completion, rejected.completion]
    return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()[:32]
