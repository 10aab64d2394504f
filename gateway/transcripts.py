"""Conversations as files hold them: OpenAI messages, role and text, or an hh-rlhf transcript."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.jsonl import BadRow

_TURN = re.compile(r"\n\n(Human|Assistant):")
_LESSER = "non_preferred_output"
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "agent": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "api": "tool",
}


def read_messages(value: Any) -> list[dict[str, str]]:
    """The chat messages in `value`: a text, a transcript that starts with "\\n\\nHuman:", or a list. Raises BadRow."""
    if isinstance(value, str):
        if not value.strip():
            raise BadRow("has an empty prompt")
        return _split(value) if value.startswith("\n\nHuman:") else [{"role": "user", "content": value}]
    if isinstance(value, list) and value:
        return [_message(item) for item in value]
    raise BadRow("has a prompt that is neither a text nor a list of messages")


def read_answer(value: Any, name: str) -> str:
    """The text of an answer: a text, or a list of messages that ends with it. Raises BadRow."""
    if isinstance(value, list) and value:
        value = _message(value[-1])["content"]
    if not isinstance(value, str) or not value.strip():
        raise BadRow(f"has no {name} answer")
    return _spoken(value)


def split_shared(chosen: str, rejected: str) -> tuple[list[dict[str, str]], str, str]:
    """(prompt, chosen, rejected) of two whole transcripts that differ in their last answer. Raises BadRow."""
    return _split_messages(_split(chosen), _split(rejected))


def read_pair(row: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[list[dict[str, str]], str, str]:
    """(prompt, chosen, rejected) of a row in any of the forms that pairs come in. Raises BadRow.

    The plain form and TRL's have the columns named, with texts or messages; without a prompt, both sides are whole
    conversations that share everything but the last answer (TRL's implicit prompt, hh-rlhf). OpenAI's form has input,
    preferred_output and non_preferred_output.
    """
    chosen, rejected = row.get(columns["chosen"]), row.get(columns["rejected"])
    given = row.get(columns["messages"])
    prompt = row.get(columns["prompt"]) if given is None else given
    if chosen is None and rejected is None and isinstance(row.get("input"), dict):
        prompt, chosen, rejected = row["input"].get("messages"), row.get("preferred_output"), row.get(_LESSER)
    if prompt is None and isinstance(chosen, str) and isinstance(rejected, str):
        return split_shared(chosen, rejected)
    if prompt is None and isinstance(chosen, list) and isinstance(rejected, list):
        return _split_messages(read_messages(chosen), read_messages(rejected))
    return read_messages(prompt), read_answer(chosen, "chosen"), read_answer(rejected, "rejected")


def _split_messages(one: list[dict[str, str]], other: list[dict[str, str]]) -> tuple[list[dict[str, str]], str, str]:
    answered = all(len(turns) > 1 and turns[-1]["role"] == "assistant" for turns in (one, other))
    if not answered or one[:-1] != other[:-1]:
        raise BadRow("has no prompt, and no transcripts that differ in the last answer only")
    return one[:-1], one[-1]["content"], other[-1]["content"]


def _split(text: str) -> list[dict[str, str]]:
    parts = _TURN.split(text)
    turns = zip(parts[1::2], parts[2::2], strict=True)
    messages = [{"role": _ROLES[who.lower()], "content": said.strip()} for who, said in turns]
    if len(messages) > 1 and messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()  # "\n\nAssistant:" at the end only asks for the answer
    return messages


def _message(item: Any) -> dict[str, str]:
    if not isinstance(item, dict):
        raise BadRow("has a message that is not an object")
    role = item.get("role", item.get("from"))
    known = _ROLES.get(role.lower()) if isinstance(role, str) else None
    if known is None:
        raise BadRow("has a message without a known role")
    for name in ("content", "text", "value"):
        if isinstance(item.get(name), str):
            return {"role": known, "content": item[name]}
    rest = {name: value for name, value in item.items() if name not in ("role", "from")}
    if not rest or item.get("content", "") is None:
        raise BadRow("has a message without content")
    # A call of a tool and its result are data: kept as the JSON they were.
    return {"role": known, "content": json.dumps(rest, ensure_ascii=False, sort_keys=True)}


def _spoken(text: str) -> str:
    """What an answer says that was logged as a message in JSON (Taskmaster's); other texts stay as they are."""
    if text.startswith("{"):
        try:
            message = json.loads(text)
        except ValueError:
            return text
        if isinstance(message, dict) and set(message) == {"role", "text"} and isinstance(message["text"], str):
            return str(message["text"])
    return text
