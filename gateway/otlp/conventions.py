"""What a span says of a chat, in the conventions that instrumentations speak.

OpenTelemetry's GenAI conventions up to 1.36 (`gen_ai.prompt`, `gen_ai.completion`, message events), from 1.37 on and
since their move to semantic-conventions-genai (`gen_ai.input.messages`, `gen_ai.output.messages`,
`gen_ai.system_instructions`, on the span or on an event of it), OpenLLMetry's numbered attributes
(`gen_ai.prompt.0.content`), and OpenInference (`llm.input_messages.0.message.content`, `input.value`). Messages may be
structured values or JSON as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.otlp.spans import Span

Message = dict[str, str]
CHATS = frozenset({"chat", "text_completion", "generate_content"})
_CONTENT = ("gen_ai.input.messages", "gen_ai.prompt", "gen_ai.completion", "gen_ai.prompt.0.content")
_DETAILS = "gen_ai.client.inference.operation.details"
_EVENTS = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_NUMBERED = (("gen_ai.prompt.", "gen_ai.completion."), ("llm.input_messages.", "llm.output_messages."))


def is_chat(span: Span) -> bool:
    """Whether the span is a call of a language model that answers; embeddings, tools, agents and chains are not."""
    told = span.attributes
    operation = told.get("gen_ai.operation.name")
    if operation is not None:
        return operation in CHATS
    kind = told.get("openinference.span.kind")
    if kind is not None:
        return str(kind).upper() == "LLM"
    if "llm.request.type" in told:
        return told["llm.request.type"] in ("chat", "completion")
    return any(name in told for name in _CONTENT)


def read_chat(span: Span) -> tuple[list[Message], str, str]:
    """The messages that were sent, the answer, and why it ended ("" where not told).

    No messages: the instrumentation does not record what is said.
    """
    told = dict(span.attributes)
    for name, attributes in span.events:
        if name == _DETAILS:
            told = {**attributes, **told}
    messages: list[Message] = []
    answers: list[Message] = []
    for read in (_structured, _numbered, _legacy, _events, _openinference):
        messages, answers = read(span, told)
        if messages:
            break
    answer = "\n".join(message["content"] for message in answers if message["content"])
    return messages, answer, _ending(told, answers)


def text(told: Mapping[str, Any], *names: str) -> str:
    """The first of these attributes that is a text and not empty."""
    return next((found for name in names if isinstance(found := told.get(name), str) and found), "")


def number(told: Mapping[str, Any], *names: str) -> float | None:
    """The first of these attributes that is a number, not negative."""
    for name in names:
        found = told.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1e15:
            return float(found)
    return None


Said = tuple[list[Message], list[Message]]


def _structured(span: Span, told: Mapping[str, Any]) -> Said:
    rules = _parts(_parsed(told.get("gen_ai.system_instructions")))
    messages = _messages(_parsed(told.get("gen_ai.input.messages")), "user")
    if rules and messages:
        messages.insert(0, {"role": "system", "content": rules})
    return messages, _messages(_parsed(told.get("gen_ai.output.messages")), "assistant")


def _numbered(span: Span, told: Mapping[str, Any]) -> Said:
    for asked, answered in _NUMBERED:
        messages = list(_count_up(told, asked, "user"))
        if messages:
            return messages, list(_count_up(told, answered, "assistant"))
    return [], []


def _legacy(span: Span, told: Mapping[str, Any]) -> Said:
    asked, answered = told.get("gen_ai.prompt"), told.get("gen_ai.completion")
    for name, attributes in span.events:
        if name == "gen_ai.content.prompt":
            asked = asked or attributes.get("gen_ai.prompt")
        elif name == "gen_ai.content.completion":
            answered = answered or attributes.get("gen_ai.completion")
    return _told(asked, "user"), _told(answered, "assistant")


def _events(span: Span, told: Mapping[str, Any]) -> Said:
    messages, answers = [], []
    for name, attributes in span.events:
        if name in _EVENTS:
            content = _content(attributes.get("content", attributes.get("gen_ai.event.content")))
            messages.append({"role": _EVENTS[name], "content": content})
        elif name == "gen_ai.choice":
            answers += _messages([_parsed(attributes.get("message", attributes.get("content")))], "assistant")
    return [message for message in messages if message["content"]], answers


def _openinference(span: Span, told: Mapping[str, Any]) -> Said:
    return _told(told.get("input.value"), "user"), _told(told.get("output.value"), "assistant")


def _told(value: Any, role: str) -> list[Message]:
    """The messages in a value; JSON that holds none is what somebody wrote."""
    parsed = _parsed(value)
    if isinstance(value, str) and isinstance(parsed, list) and not all(isinstance(one, Mapping) for one in parsed):
        parsed = value
    found = _messages(parsed, role)
    return found or ([{"role": role, "content": value}] if isinstance(value, str) and value else [])


def _parsed(value: Any) -> Any:
    """A value that may be JSON as text."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _messages(value: Any, role: str) -> list[Message]:
    """Messages of any of the forms; what has no text is left out."""
    if isinstance(value, Mapping):
        inner = value.get("messages", value.get("choices"))
        value = inner if isinstance(inner, list) else [value]
    elif not isinstance(value, list):
        value = [value] if value is not None else []
    found = [_message(item, role) for item in value]
    return [message for message in found if message["content"]]


def _message(item: Any, role: str) -> Message:
    if not isinstance(item, Mapping):
        return {"role": role, "content": _content(item)}
    if isinstance(inner := item.get("message"), Mapping):
        item = {**item, **inner}
    said = item.get("parts", item.get("content", item.get("text")))
    told = item.get("role")
    return {"role": told if isinstance(told, str) and told else role, "content": _content(said)}


def _content(value: Any) -> str:
    if isinstance(value, str):
        parsed = _parsed(value)
        return _parts(parsed) if _are_parts(parsed) else value
    if isinstance(value, list):
        return _parts(value)
    if isinstance(value, Mapping):
        return _parts([value])
    return "" if value is None or isinstance(value, bool) else str(value)


def _are_parts(value: Any) -> bool:
    """Whether JSON that stood as text holds a message's parts, and not what somebody wrote as JSON."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(part, Mapping) and isinstance(part.get("type"), str) for part in value)


def _parts(value: Any) -> str:
    """The texts among a message's parts; images, calls of tools and their like are left out."""
    if isinstance(value, str):
        return value
    texts = []
    for part in value if isinstance(value, list) else ():
        if isinstance(part, Mapping):
            part = part.get("content", part.get("text", part.get("response")))
        if isinstance(part, str) and part:
            texts.append(part)
    return "\n".join(texts)


def _count_up(told: Mapping[str, Any], prefix: str, role: str) -> Iterator[Message]:
    """Messages whose parts are attributes with a number in their names."""
    infix = "message." if prefix.startswith("llm.") else ""
    place = 0
    while True:
        stem = f"{prefix}{place}.{infix}"
        content, said_by = told.get(f"{stem}content"), told.get(f"{stem}role")
        if content is None:
            content = [told[name] for name in _listed(told, f"{stem}contents.")] or None
        if content is None and said_by is None:
            return
        if words := _content(content):
            yield {"role": said_by if isinstance(said_by, str) and said_by else role, "content": words}
        place += 1


def _listed(told: Mapping[str, Any], prefix: str) -> Iterable[str]:
    """OpenInference's content items, in their order."""
    place = 0
    while (name := f"{prefix}{place}.message_content.text") in told or f"{prefix}{place}.message_content.type" in told:
        if name in told:
            yield name
        place += 1


def _ending(told: Mapping[str, Any], answers: Sequence[Message]) -> str:
    reasons = told.get("gen_ai.response.finish_reasons", told.get("llm.finish_reason"))
    if isinstance(reasons, list):
        reasons = next((reason for reason in reasons if isinstance(reason, str)), "")
    if isinstance(reasons, str) and reasons:
        return reasons
    outputs = _parsed(told.get("gen_ai.output.messages"))
    first = outputs[0] if isinstance(outputs, list) and outputs else None
    found = first.get("finish_reason") if isinstance(first, Mapping) else None
    return found if isinstance(found, str) else text(told, "gen_ai.completion.0.finish_reason")
