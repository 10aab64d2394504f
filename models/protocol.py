"""Reads and writes the model server's JSON: OpenAI chat completions, score items and error objects."""

from dataclasses import asdict
from typing import Any

from core.errors import Conflict, InvalidInput, NotFound, TrimtabError, Unavailable
from models.artefacts import ArtefactRefused
from models.load import Base
from models.requests import Sampling, Timing

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_MESSAGES = 1000
MAX_ITEMS = 4096
DEFAULT_TOKENS = 512
KINDS: dict[type[TrimtabError], tuple[int, str, str]] = {
    NotFound: (404, "invalid_request_error", "model_not_found"),
    Conflict: (409, "invalid_request_error", "version_conflict"),
    Unavailable: (503, "server_error", "unavailable"),
    ArtefactRefused: (400, "invalid_request_error", "artefact_refused"),
    InvalidInput: (400, "invalid_request_error", "invalid_value"),
}


def error_object(error: TrimtabError) -> tuple[int, dict[str, Any]]:
    """HTTP status and OpenAI-style body of an error."""
    status, kind, code = next(
        (entry for cls, entry in KINDS.items() if isinstance(error, cls)),
        (400, "invalid_request_error", "invalid_value"),
    )
    return status, {"error": {"message": str(error), "type": kind, "param": None, "code": code}}


def text_of(content: Any) -> str:
    """The text of a message: a string, or OpenAI's list of text parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = []
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise InvalidInput("A message has a part that is not text.", "Send text parts only.")
            parts.append(part["text"])
        return "".join(parts)
    raise InvalidInput("A message's content is neither text nor a list of text parts.", "Send text.")


def read_messages(value: Any) -> list[dict[str, str]]:
    """Chat messages with plain text content. Raises InvalidInput."""
    if not isinstance(value, list) or not value or len(value) > MAX_MESSAGES:
        raise InvalidInput(f"messages must be a list of 1 to {MAX_MESSAGES} messages.", "Send at least one message.")
    messages = []
    for message in value:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise InvalidInput(f"A message's role is not one of {', '.join(ROLES)}.", "Correct the role.")
        role = "system" if message["role"] == "developer" else message["role"]
        messages.append({"role": role, "content": text_of(message.get("content"))})
    return messages


def encode(base: Base, messages: list[dict[str, str]]) -> list[int]:
    """Token ids of the chat template with its generation prompt. Raises InvalidInput when the template refuses."""
    try:
        text = base.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids: list[int] = base.tokenizer(text, add_special_tokens=False).input_ids
    except Exception as error:  # templates raise jinja errors of any kind
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InvalidInput(
            f"The chat template does not take these messages: {reason[0][:160]}.", "Change them."
        ) from error
    return ids


def encode_completion(base: Base, completion: str) -> list[int]:
    """Token ids of an answer with the end-of-turn token, as the model would have produced it."""
    ids: list[int] = base.tokenizer(completion, add_special_tokens=False).input_ids
    return [*ids, int(base.tokenizer.eos_token_id)]


def number(body: dict[str, Any], name: str, low: float, high: float, otherwise: float) -> float:
    value = body.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a number from {low:g} to {high:g}.", "Correct it.")
    return float(value)


def integer(body: dict[str, Any], name: str, low: int, high: int) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a whole number from {low} to {high}.", "Correct it.")
    return value


def read_stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value or []
    if (
        not isinstance(stops, list)
        or len(stops) > 4
        or not all(isinstance(s, str) and 0 < len(s) <= 256 for s in stops)
    ):
        raise InvalidInput("stop must be a text or a list of at most 4 texts.", "Correct it.")
    return tuple(stops)


def refuse_unsupported(body: dict[str, Any]) -> None:
    """Raises InvalidInput for a parameter whose effect would silently be missing from the answer."""
    plain: dict[str, tuple[Any, ...]] = {
        "n": (1,),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "tools": ([],),
        "functions": ([],),
        "logit_bias": ({},),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "response_format": ({"type": "text"},),
    }
    for name, allowed in plain.items():
        if body.get(name) is not None and body[name] not in allowed:
            raise InvalidInput(f"This model server does not support {name}.", "Leave it out.")


def read_sampling(body: dict[str, Any], base: Base, prompt_tokens: int, seed: int) -> Sampling:
    """The sampling settings of a request; `seed` is used when it names none. Raises InvalidInput."""
    refuse_unsupported(body)
    left = base.context - prompt_tokens
    if left < 1:
        raise InvalidInput(
            f"The messages have {prompt_tokens} tokens; this model's context is {base.context}.",
            "Shorten the messages.",
        )
    asked = integer(body, "max_completion_tokens", 1, 1 << 31) or integer(body, "max_tokens", 1, 1 << 31)
    if asked is not None and asked > left:
        raise InvalidInput(
            f"The messages have {prompt_tokens} tokens and {asked} more are asked for, "
            f"but this model's context is {base.context}.",
            "Shorten the messages or lower max_tokens.",
        )
    given = integer(body, "seed", -(1 << 63), (1 << 63) - 1)
    return Sampling(
        max_tokens=asked or min(left, DEFAULT_TOKENS),
        temperature=number(body, "temperature", 0.0, 2.0, 1.0),
        top_p=max(number(body, "top_p", 0.0, 1.0, 1.0), 1e-6),
        seed=seed if given is None else given,
        stops=read_stops(body.get("stop")),
    )


def read_name(body: dict[str, Any], field: str = "name") -> str:
    """A non-empty text field. Raises InvalidInput."""
    value = body.get(field)
    if not isinstance(value, str) or not value or len(value) > 4096:
        raise InvalidInput(f"{field} must be a text.", f"Send {field}.")
    return value


def read_items(body: dict[str, Any], base: Base) -> list[tuple[list[int], list[int]]]:
    """(prompt, completion) token ids of the items to score. Raises InvalidInput."""
    items = body.get("items")
    if not isinstance(items, list) or not items or len(items) > MAX_ITEMS:
        raise InvalidInput(f"items must be a list of 1 to {MAX_ITEMS} entries.", "Send fewer at a time.")
    pairs = []
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("completion"), str):
            raise InvalidInput(f"Item {index} has no completion text.", "Send messages and completion in each item.")
        prompt = encode(base, read_messages(item.get("messages")))
        completion = encode_completion(base, item["completion"])
        if len(prompt) + len(completion) > base.context:
            raise InvalidInput(f"Item {index} is longer than the context of {base.context} tokens.", "Shorten it.")
        pairs.append((prompt, completion))
    return pairs


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's token counts."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def whole(identity: str, created: int, model: str, text: str, finish: str) -> dict[str, Any]:
    """A chat.completion object without usage."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {"id": identity, "object": "chat.completion", "created": created, "model": model, "choices": [choice]}


def chunk(
    identity: str, created: int, model: str, delta: dict[str, str] | None, finish: str | None = None
) -> dict[str, Any]:
    """A chat.completion.chunk object; no delta gives the empty choices of the usage chunk."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {"id": identity, "object": "chat.completion.chunk", "created": created, "model": model, "choices": choices}


def timing_object(timing: Timing | None) -> dict[str, float]:
    """The "trimtab" field: queue_ms, first_token_ms, total_ms, compute_ms."""
    return {name: round(value, 3) for name, value in asdict(timing).items()} if timing else {}
