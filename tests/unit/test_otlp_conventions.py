"""Spans as instrumentations write them, in every convention, become the same exchange, over either encoding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from core.types import Inference
from gateway.otlp.conventions import is_chat
from gateway.otlp.exchanges import SOURCE, exchange_id, read_exchange
from gateway.otlp.spans import Span, read_json, read_protobuf

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STARTED = 1_763_640_000_000_000_000
ASKED, ANSWERED = "Where is my parcel?", "It arrives today."
RULES = "You help customers."
MESSAGES = [{"role": "system", "content": RULES}, {"role": "user", "content": ASKED}]
IN = [{"role": "user", "parts": [{"type": "text", "content": ASKED}]}]
OUT = [{"role": "assistant", "parts": [{"type": "text", "content": ANSWERED}], "finish_reason": "stop"}]
INSTRUCTIONS = [{"type": "text", "content": RULES}]
CHAT = {"gen_ai.operation.name": "chat"}
OPENAI = [{"role": "system", "content": RULES}, {"role": "user", "content": [{"type": "text", "text": ASKED}]}]

# What each instrumentation writes of the same chat: attributes of the span, and its events.
Written = tuple[Mapping[str, Any], list[tuple[str, Mapping[str, Any]]]]
FORMS: dict[str, Written] = {
    "1.37, JSON as text": (
        {
            **CHAT,
            "gen_ai.input.messages": json.dumps(IN),
            "gen_ai.output.messages": json.dumps(OUT),
            "gen_ai.system_instructions": json.dumps(INSTRUCTIONS),
        },
        [],
    ),
    "1.37, structured": (
        {
            **CHAT,
            "gen_ai.input.messages": IN,
            "gen_ai.output.messages": OUT,
            "gen_ai.system_instructions": INSTRUCTIONS,
        },
        [],
    ),
    "latest, on an event": (
        CHAT,
        [
            (
                "gen_ai.client.inference.operation.details",
                {
                    "gen_ai.input.messages": IN,
                    "gen_ai.output.messages": OUT,
                    "gen_ai.system_instructions": INSTRUCTIONS,
                },
            )
        ],
    ),
    "1.36, attributes": (
        {
            "gen_ai.system": "openai",
            "gen_ai.prompt": json.dumps(OPENAI),
            "gen_ai.completion": json.dumps([{"role": "assistant", "content": ANSWERED}]),
            "gen_ai.response.finish_reasons": ["stop"],
        },
        [],
    ),
    "1.36, content events": (
        {**CHAT, "gen_ai.response.finish_reasons": ["stop"]},
        [
            ("gen_ai.content.prompt", {"gen_ai.prompt": json.dumps(OPENAI)}),
            (
                "gen_ai.content.completion",
                {"gen_ai.completion": json.dumps([{"role": "assistant", "content": ANSWERED}])},
            ),
        ],
    ),
    "1.36, message events": (
        {**CHAT, "gen_ai.response.finish_reasons": ["stop"]},
        [
            ("gen_ai.system.message", {"content": RULES}),
            ("gen_ai.user.message", {"content": ASKED}),
            ("gen_ai.choice", {"message": json.dumps({"role": "assistant", "content": ANSWERED}), "index": 0}),
        ],
    ),
    "OpenLLMetry": (
        {
            "llm.request.type": "chat",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": RULES,
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": ASKED,
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": ANSWERED,
            "gen_ai.completion.0.finish_reason": "stop",
        },
        [],
    ),
    "OpenInference": (
        {
            "openinference.span.kind": "LLM",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": RULES,
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.contents.0.message_content.type": "image",
            "llm.input_messages.1.message.contents.1.message_content.type": "text",
            "llm.input_messages.1.message.contents.1.message_content.text": ASKED,
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": ANSWERED,
            "llm.finish_reason": "stop",
        },
        [],
    ),
    "OpenInference, values": (
        {
            "openinference.span.kind": "LLM",
            "input.value": json.dumps({"model": "m", "messages": OPENAI}),
            "output.value": json.dumps({"choices": [{"message": {"role": "assistant", "content": ANSWERED}}]}),
            "llm.finish_reason": "stop",
        },
        [],
    ),
}


def any_value(value: Any) -> AnyValue:
    if isinstance(value, list):
        made = AnyValue()
        made.array_value.values.extend(any_value(item) for item in value)
        return made
    if isinstance(value, Mapping):
        made = AnyValue()
        made.kvlist_value.values.extend(KeyValue(key=name, value=any_value(item)) for name, item in value.items())
        return made
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)


def json_value(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {"arrayValue": {"values": [json_value(item) for item in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": [{"key": name, "value": json_value(item)} for name, item in value.items()]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def as_protobuf(attributes: Mapping[str, Any], events: Any = (), *, failed: bool = False, trace: str = TRACE) -> bytes:
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    group.resource.attributes.append(KeyValue(key="service.name", value=any_value("shop")))
    span = group.scope_spans.add().spans.add(
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex(SPAN),
        start_time_unix_nano=STARTED,
        end_time_unix_nano=STARTED + 1_500_000_000,
    )
    span.status.code = 2 if failed else 0
    span.attributes.extend(KeyValue(key=name, value=any_value(value)) for name, value in attributes.items())
    for name, told in events:
        span.events.add(
            name=name, attributes=[KeyValue(key=key, value=any_value(value)) for key, value in told.items()]
        )
    return request.SerializeToString()


def as_json(attributes: Mapping[str, Any], events: Any = (), *, failed: bool = False, trace: str = TRACE) -> bytes:
    def listed(told: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"key": name, "value": json_value(value)} for name, value in told.items()]

    span = {
        "traceId": trace,
        "spanId": SPAN,
        "startTimeUnixNano": str(STARTED),
        "endTimeUnixNano": STARTED + 1_500_000_000,
        "attributes": listed(attributes),
        "events": [{"name": name, "attributes": listed(told)} for name, told in events],
        "status": {"code": 2} if failed else {},
    }
    groups = [{"resource": {"attributes": listed({"service.name": "shop"})}, "scopeSpans": [{"spans": [span]}]}]
    return json.dumps({"resourceSpans": groups}).encode()


def spans(attributes: Mapping[str, Any], events: Any = (), **more: Any) -> list[Span]:
    """The span as it is read from protobuf, which JSON must equal."""
    (one,), (other,) = (
        list(read_protobuf(as_protobuf(attributes, events, **more))),
        list(read_json(as_json(attributes, events, **more))),
    )
    assert one == other
    return [one]


def exchange(attributes: Mapping[str, Any], events: Any = (), **more: Any) -> Inference:
    (span,) = spans(attributes, events, **more)
    found = read_exchange(span, deployment="assistant", now=NOW)
    assert found is not None
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_chat_reads_alike_in_every_convention(form: str) -> None:
    attributes, events = FORMS[form]
    (span,) = spans(attributes, events)
    assert is_chat(span)
    row = exchange(attributes, events)
    assert (list(row.messages), row.prompt, row.response, row.finish_reason) == (MESSAGES, ASKED, ANSWERED, "stop")
    assert (row.uuid, row.kind, row.deployment) == (exchange_id(TRACE, SPAN), "import", "assistant")
    assert row.latency_ms == 1500.0 and row.at == datetime.fromtimestamp(STARTED / 1e9, UTC) and row.status == 200
    assert row.labels == {"service": "shop"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"), {"gen_ai.response.model": "m-1"}),
        (("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"), {"gen_ai.request.model": "m-1"}),
        (("llm.token_count.prompt", "llm.token_count.completion"), {"llm.model_name": "m-1"}),
    ],
)
def test_version_tokens_conversation_and_user_are_read(names: tuple[str, str], told: dict[str, str]) -> None:
    more = {**told, names[0]: 12, names[1]: 5, "session.id": "s1", "user.id": "u1", "trimtab.label.plan": "paid"}
    row = exchange({**FORMS["1.36, attributes"][0], **more, "gen_ai.server.time_to_first_token": 0.25})
    assert (row.version, row.prompt_tokens, row.completion_tokens, row.first_token_ms) == ("m-1", 12, 5, 250.0)
    assert (row.conversation, row.user, row.labels) == ("s1", "u1", {"service": "shop", "plan": "paid"})


@pytest.mark.parametrize(
    "told",
    [
        {"gen_ai.operation.name": "embeddings"},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.input.messages": "[]"},
        {"openinference.span.kind": "CHAIN", "input.value": "x"},
        {"llm.request.type": "embedding"},
        {"http.request.method": "POST"},
    ],
)
def test_what_is_no_chat_is_passed_over(told: dict[str, Any]) -> None:
    (span,) = spans(told)
    assert not is_chat(span)


def test_a_chat_without_its_messages_is_no_exchange() -> None:
    (span,) = spans({**CHAT, "gen_ai.usage.input_tokens": 7})
    assert is_chat(span) and read_exchange(span, deployment="assistant", now=NOW) is None


def test_a_span_is_known_by_its_version_5_uuid() -> None:
    for place in range(200):
        ids = f"{place:032x}", f"{place:016x}"
        assert exchange_id(*ids) == str(uuid5(UUID(bytes=SOURCE), ":".join(ids)))


def test_a_failed_call_is_an_error_without_an_answer() -> None:
    row = exchange({**CHAT, "gen_ai.input.messages": IN, "error.type": "timeout"}, failed=True)
    assert (row.status, row.error, row.response) == (500, "timeout", "")
    raised = [("exception", {"exception.type": "openai.NotFoundError", "exception.message": "Where is my parcel?"})]
    row = exchange({**CHAT, "gen_ai.input.messages": IN}, raised, failed=True)
    assert (row.status, row.error) == (500, "openai.NotFoundError")
    assert exchange({**CHAT, "gen_ai.input.messages": IN}, failed=True).error == "error"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[not json", [{"role": "user", "content": "[not json"}]),
        ("[1, null, true, 2.5]", [{"role": "user", "content": "1"}, {"role": "user", "content": "2.5"}]),
        ('{"role": 3, "content": {"type": "text", "text": "hi"}}', [{"role": "user", "content": "hi"}]),
        ("[[[[]]]]", []),
        ("{}", []),
        ("", []),
    ],
)
def test_messages_of_odd_forms_do_no_harm(value: str, expected: list[dict[str, str]]) -> None:
    (span,) = spans({**CHAT, "gen_ai.input.messages": value})
    found = read_exchange(span, deployment="assistant", now=NOW)
    assert (list(found.messages) if found else []) == expected


@pytest.mark.parametrize("typed", ['{"order": 5}', "[1, 2]", "[]", "{}", '["a"]', '{"messages": 3}'])
@pytest.mark.parametrize("name", ["gen_ai.prompt", "input.value", "gen_ai.prompt.0.content", "gen_ai.input.messages"])
def test_json_that_a_person_typed_is_kept_as_it_is(name: str, typed: str) -> None:
    said = json.dumps([{"role": "user", "parts": [{"type": "text", "content": typed}]}])
    row = exchange({**CHAT, name: said if name == "gen_ai.input.messages" else typed})
    assert row.prompt == typed or (name in ("gen_ai.prompt", "input.value") and typed in ("[1, 2]", '["a"]'))


def test_parts_that_stand_as_json_in_a_message_are_read() -> None:
    parts = json.dumps([{"type": "text", "text": "Where is"}, {"type": "image_url"}, {"type": "text", "text": "it?"}])
    assert (
        exchange({**CHAT, "gen_ai.prompt.0.content": parts, "gen_ai.prompt.0.role": "user"}).prompt == "Where is\nit?"
    )


def test_a_wrong_clock_is_not_believed() -> None:
    span = Span(TRACE, SPAN, 2**64 - 1, 0, FORMS["1.37, structured"][0], [], {}, failed=False)
    found = read_exchange(span, deployment="assistant", now=NOW)
    assert found is not None and (found.at, found.latency_ms) == (NOW, None)
    past = NOW - timedelta(days=400)
    span = Span(TRACE, SPAN, int(past.timestamp() * 1e9), 0, FORMS["1.37, structured"][0], [], {}, failed=False)
    found = read_exchange(span, deployment="assistant", now=NOW)
    assert found is not None and found.at == past


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"resourceSpans": 3}', b'{"resourceSpans": [{"scopeSpans": [[]]}]}', b"\xff", b"[" * 99999]
)
def test_what_is_no_otlp_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        list(read_json(body))


def test_what_is_no_protobuf_is_refused_and_ids_of_another_length_are_none() -> None:
    with pytest.raises(ValueError, match="ExportTraceServiceRequest"):
        read_protobuf(b"\xff\xff\xff")
    (span,) = read_json(as_json({}, trace="abc"))
    assert span.trace_id == ""
