"""Reads OTLP's two encodings, protobuf and JSON, into the same plain spans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_FAILED = 2  # STATUS_CODE_ERROR
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Span:
    """A span: its ids in hex ("" where they are not of OTLP's length), times in nanoseconds since 1970 (0: not told),
    and what it carries. `events` are (name, attributes)."""

    trace_id: str
    span_id: str
    started: int
    ended: int
    attributes: Mapping[str, Any]
    events: Sequence[tuple[str, Mapping[str, Any]]]
    resource: Mapping[str, Any]
    failed: bool


def read_protobuf(body: bytes) -> Iterator[Span]:
    """The spans of an ExportTraceServiceRequest. Raises ValueError at once where `body` is none."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise ValueError("not an ExportTraceServiceRequest") from None
    return _from_protobuf(request)


def read_json(body: bytes) -> Iterator[Span]:
    """The same of OTLP's JSON: ids in hex, 64-bit numbers as text. Raises ValueError where `body` has another form."""
    try:
        request = json.loads(body)
        return iter([_span(span, _named(group.get("resource", {}))) for group, span in _groups(request)])
    except (RecursionError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise ValueError(f"not OTLP JSON: {type(error).__name__}") from None


def _from_protobuf(request: Any) -> Iterator[Span]:
    for group in request.resource_spans:
        resource = {pair.key: _value(pair.value) for pair in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    trace_id=span.trace_id.hex() if len(span.trace_id) == 16 else "",
                    span_id=span.span_id.hex() if len(span.span_id) == 8 else "",
                    started=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                    attributes={pair.key: _value(pair.value) for pair in span.attributes},
                    events=[(e.name, {pair.key: _value(pair.value) for pair in e.attributes}) for e in span.events],
                    resource=resource,
                    failed=span.status.code == _FAILED,
                )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)


def _groups(request: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for group in request.get("resourceSpans", ()):
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield group, span


def _span(span: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=_hex(span.get("traceId"), 32),
        span_id=_hex(span.get("spanId"), 16),
        started=int(span.get("startTimeUnixNano", 0)),
        ended=int(span.get("endTimeUnixNano", 0)),
        attributes=_named(span),
        events=[(str(event.get("name", "")), _named(event)) for event in span.get("events", ())],
        resource=resource,
        failed=span.get("status", _NOTHING).get("code") in (_FAILED, "STATUS_CODE_ERROR"),
    )


def _named(carrier: Mapping[str, Any]) -> dict[str, Any]:
    return {str(pair["key"]): _plain(pair.get("value") or _NOTHING) for pair in carrier.get("attributes", ())}


def _plain(value: Mapping[str, Any]) -> Any:
    for kind, found in value.items():
        if kind == "arrayValue":
            return [_plain(item) for item in found.get("values", ())]
        if kind == "kvlistValue":
            return {str(pair["key"]): _plain(pair.get("value") or _NOTHING) for pair in found.get("values", ())}
        if kind == "intValue":
            return int(found)
        if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return found
    return None


def _hex(value: Any, length: int) -> str:
    if not isinstance(value, str) or len(value) != length:
        return ""
    try:
        return bytes.fromhex(value).hex()
    except ValueError:
        return ""
