"""The wire format, field by field, and the exposition."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from gateway.context import Names
from gateway.errors import Invalid, tell
from gateway.exposition import Histogram, write
from gateway.openai import ChatCall, Events, read_call
from gateway.upstream import Busy, NotLoaded, Refused

GOOD: dict[str, Any] = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}


def read(extras: frozenset[str] = frozenset(), **more: Any) -> ChatCall:
    return read_call({**GOOD, **more}, default_tokens=64, most_tokens=128, extras=extras)


def test_defaults_are_openais_and_the_installations() -> None:
    call = read()
    assert (call.max_tokens, call.temperature, call.top_p, call.stream, call.seed) == (64, 1.0, 1.0, False, None)
    assert (call.stop, call.labels, call.conversation, call.user) == ([], {}, "", "")
    assert call.prompt == "hello"


def test_parts_of_text_are_joined_and_the_prompt_is_the_last_from_the_user() -> None:
    parts = [{"type": "text", "text": "where "}, {"type": "text", "text": "is it"}]
    call = read(
        messages=[
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "result"},
        ]
    )
    assert call.prompt == "where is it"
    assert [message["content"] for message in call.messages] == ["be kind", "where is it", "", "result"]


def test_metadata_becomes_labels_and_conversation() -> None:
    call = read(metadata={"conversation_id": "c", "topic": "tea"}, safety_identifier="u7", stop="x")
    assert (call.conversation, call.labels, call.user, call.stop) == ("c", {"topic": "tea"}, "u7", ["x"])


def test_max_completion_tokens_wins_and_null_means_unset() -> None:
    assert read(max_tokens=9, max_completion_tokens=7).max_tokens == 7
    assert read(max_tokens=None, temperature=None, stop=None, metadata=None, tools=None).max_tokens == 64


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", ""), ("model", 3), ("messages", "hello"), ("messages", [3]), ("messages", [{"role": "user"}]),
        ("messages", [{"role": "boss", "content": "x"}]), ("max_tokens", 0), ("max_tokens", 129), ("max_tokens", 1.5),
        ("temperature", 2.1), ("temperature", "hot"), ("top_p", -0.1), ("stop", [""]), ("stop", ["a"] * 5),
        ("seed", 2**63), ("stream", 1), ("user", ["u"]), ("metadata", []), ("metadata", {"": "x"}),
        ("metadata", {"a": 1}), ("stream_options", {}), ("n", 2), ("n", True), ("logprobs", True),
        ("presence_penalty", 0.5), ("response_format", {"type": "json_object"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as caught:
        read(**{field: value})
    assert caught.value.param is not None
    assert caught.value.param.startswith(field)
    assert caught.value.status == 400


def test_settings_that_the_server_knows_are_passed_on() -> None:
    assert read(frozenset({"presence_penalty"}), presence_penalty=0.5).extra == {"presence_penalty": 0.5}
    assert read(presence_penalty=0, response_format={"type": "text"}).extra == {}


def test_events_are_json_and_end_with_done() -> None:
    events = Events("chatcmpl-1", 5, 'a"b', "v1", include_usage=True)
    stream = (events.opening() + events.text('say "x"\n\n') + events.ending("stop", 2, 3)).decode()
    lines = [line.removeprefix("data: ") for line in stream.strip().split("\n\n")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert chunks[1]["choices"][0]["delta"] == {"content": 'say "x"\n\n'}
    assert chunks[2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[3]["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    assert all(chunk["model"] == 'a"b' for chunk in chunks)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (Busy("b", retry_after=4), 429, "4"), (NotLoaded("n"), 503, "2"), (Refused("r"), 400, None),
        (ValueError("secret"), 503, "2"), (Invalid("i", status=413), 413, None),
    ],
)  # fmt: skip
def test_errors_are_told_with_status_and_wait(error: Exception, status: int, retry: str | None) -> None:
    told = tell(error)
    assert (told.status, told.headers().get("retry-after")) == (status, retry)
    assert "secret" not in told.body().decode()


def test_exposition_is_in_prometheus_format() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.2, 500.0):
        histogram.observe(seconds)
    text = write([("up", "gauge", "Whether.", [({"why": 'a"b\\\n'}, 1)])], {"t_seconds": histogram})
    assert 'up{why="a\\"b\\\\\\n"} 1' in text
    assert 't_seconds_bucket{le="0.005"} 1' in text
    assert 't_seconds_bucket{le="0.25"} 2' in text
    assert 't_seconds_bucket{le="+Inf"} 3' in text
    assert "t_seconds_count 3" in text


def test_names_are_uuids_and_never_repeat() -> None:
    names = Names()
    drawn = [names.draw() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(UUID(name).version == 4 and str(UUID(name)) == name for name in drawn)
