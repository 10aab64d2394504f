"""OpenAI's chat format: reads a request by hand, field by field, and writes answers whole or as events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.types import Inference
from gateway.errors import Invalid

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MOST_MESSAGES = 2048
MOST_LABELS, LONGEST_LABEL_NAME, LONGEST_LABEL = 16, 64, 512
LONGEST_NAME = 256
MOST_STOPS, LONGEST_STOP = 4, 256
CONVERSATION = "conversation_id"
# Taken when they ask for nothing: clients send them with their defaults.
_ONLY: Mapping[str, Sequence[Any]] = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "functions": (None, []),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "store": (None, False, True),
}
_EXTRAS = {"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}, "response_format": {"type": "text"}}


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A chat request that holds what it should: the model asked for, the messages as text, and the sampling."""

    model: str
    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    temperature: float
    top_p: float
    stop: Sequence[str]
    seed: int | None
    stream: bool
    include_usage: bool
    user: str
    conversation: str
    labels: Mapping[str, str]
    extra: Mapping[str, Any]

    @property
    def prompt(self) -> str:
        """The text of the last message from the user."""
        return next(
            (m["content"] for m in reversed(self.messages) if m["role"] == "user"), self.messages[-1]["content"]
        )


def read_call(body: Mapping[str, Any], *, default_tokens: int, most_tokens: int, extras: frozenset[str]) -> ChatCall:
    """The call in `body`. Raises Invalid that names the field. `extras` are the further settings the server knows."""
    stream = _flag(body, "stream")
    labels, conversation = _labels(body.get("metadata"))
    return ChatCall(
        model=_text(body, "model", LONGEST_NAME, required=True),
        messages=_messages(body.get("messages")),
        max_tokens=_tokens(body, default_tokens, most_tokens),
        temperature=_number(body, "temperature", 1.0, 0.0, 2.0),
        top_p=_number(body, "top_p", 1.0, 0.0, 1.0),
        stop=_stops(body.get("stop")),
        seed=_integer(body, "seed", -(2**63), 2**63 - 1),
        stream=stream,
        include_usage=_include_usage(body.get("stream_options"), stream),
        user=_text(body, "user", LONGEST_NAME) or _text(body, "safety_identifier", LONGEST_NAME),
        conversation=conversation,
        labels=labels,
        extra=_extra(body, extras),
    )


def write_answer(identity: str, created: int, model: str, row: Inference, *, compute_ms: float = 0.0) -> bytes:
    """A chat.completion object; for our own processes with the server's computing time, where it is known."""
    message = {"role": "assistant", "content": row.response, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": row.finish_reason}
    answer = {
        "id": identity,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "system_fingerprint": row.version,
        "choices": [choice],
        "usage": usage(row.prompt_tokens, row.completion_tokens),
    }
    if compute_ms:
        answer["trimtab"] = {"compute_ms": compute_ms}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Events:
    """The server-sent events of one streamed answer."""

    def __init__(self, identity: str, created: int, model: str, version: str, *, include_usage: bool) -> None:
        head = {
            "id": identity,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": version,
        }
        self._head = json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1]
        self._usage = ',"usage":null' if include_usage else ""
        self._include_usage = include_usage

    def opening(self) -> bytes:
        """The chunk that names the role."""
        return self._chunk('{"role":"assistant","content":""}', "null")

    def text(self, text: str) -> bytes:
        """A chunk of the answer."""
        return self._chunk(f'{{"content":{json.dumps(text)}}}', "null")

    def ending(self, finish_reason: str, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The last chunk, the usage where it was asked for, and the end mark."""
        last = self._chunk("{}", json.dumps(finish_reason))
        if self._include_usage:
            counted = json.dumps(usage(prompt_tokens, completion_tokens))
            last += f'data: {self._head},"choices":[],"usage":{counted}}}\n\n'.encode()
        return last + b"data: [DONE]\n\n"

    def _chunk(self, delta: str, finish: str) -> bytes:
        choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
        return f'data: {self._head},"choices":[{choice}]{self._usage}}}\n\n'.encode("utf-8", "replace")


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's count of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def write_models(names: Sequence[str], created: int) -> bytes:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": created, "owned_by": "trimtab"} for name in names]
    return json.dumps({"object": "list", "data": data}).encode()


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_MESSAGES:
        raise _wrong("messages", f"must be a list of 1 to {MOST_MESSAGES} messages")
    read = []
    for index, message in enumerate(value):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _wrong(place, "must be an object with role and content")
        role = message.get("role")
        if not isinstance(role, str) or role not in ROLES:
            raise _wrong(f"{place}.role", f"must be one of {', '.join(ROLES)}")
        read.append({"role": role, "content": _content(message.get("content"), place, optional=role == "assistant")})
    return read


def _content(value: Any, place: str, *, optional: bool) -> str:
    if isinstance(value, str):
        return value
    if value is None and optional:
        return ""
    if isinstance(value, list) and value:
        texts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type") == "text"]
        if len(texts) == len(value) and all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    raise _wrong(f"{place}.content", "must be a text or a list of text parts")


def _tokens(body: Mapping[str, Any], default: int, most: int) -> int:
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    asked = _integer(body, name, 1, most)
    return min(default, most) if asked is None else asked


def _labels(value: Any) -> tuple[dict[str, str], str]:
    if value is None:
        return {}, ""
    if not isinstance(value, dict) or len(value) > MOST_LABELS:
        raise _wrong("metadata", f"must be an object of at most {MOST_LABELS} texts")
    for name, label in value.items():
        if not 1 <= len(name) <= LONGEST_LABEL_NAME or not isinstance(label, str) or len(label) > LONGEST_LABEL:
            raise _wrong(
                "metadata", f"needs names of 1 to {LONGEST_LABEL_NAME} and texts of up to {LONGEST_LABEL} characters"
            )
    return {name: label for name, label in value.items() if name != CONVERSATION}, value.get(CONVERSATION, "")


def _stops(value: Any) -> list[str]:
    if value is None:
        return []
    stops = [value] if isinstance(value, str) else value
    right = isinstance(stops, list) and len(stops) <= MOST_STOPS
    if not right or not all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops):
        raise _wrong("stop", f"must be a text or a list of up to {MOST_STOPS} texts of up to {LONGEST_STOP} characters")
    return list(stops)


def _include_usage(value: Any, stream: bool) -> bool:
    if value is None:
        return False
    if not isinstance(value, dict):
        raise _wrong("stream_options", "must be an object")
    if not stream:
        raise _wrong("stream_options", "is only allowed with stream")
    return _flag(value, "include_usage")


def _extra(body: Mapping[str, Any], extras: frozenset[str]) -> dict[str, Any]:
    for name, nothing in _ONLY.items():
        if name in body and not any(body[name] == value and type(body[name]) is type(value) for value in nothing):
            raise Invalid(f"{name} is not supported with this value.", "Leave it out.", param=name, code="unsupported")
    asked = {name: body[name] for name, default in _EXTRAS.items() if body.get(name) not in (None, default)}
    for name in asked:
        if name not in extras:
            raise Invalid(f"This server does not know {name}.", "Leave it out.", param=name, code="unsupported")
    return asked


def _text(body: Mapping[str, Any], name: str, longest: int, *, required: bool = False) -> str:
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or len(value) > longest or (required and not value):
        raise _wrong(name, f"must be a text of up to {longest} characters")
    return value


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong(name, "must be true or false")
    return bool(value)


def _number(body: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _wrong(name, f"must be a number from {least:g} to {most:g}")
    return float(value)


def _integer(body: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(name, f"must be a whole number from {least} to {most}")
    return value


def _wrong(name: str, what: str) -> Invalid:
    return Invalid(f"{name} {what}.", param=name)
