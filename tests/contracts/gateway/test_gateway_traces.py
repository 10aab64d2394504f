"""Spans over OTLP/HTTP: kept once however often sent, answered when on disk, refused as senders expect."""

from __future__ import annotations

import gzip
import json
import random
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from core.settings import GatewaySettings
from gateway.capture import _Job
from gateway.otlp.exchanges import exchange_id
from gateway.servers.scripted import Scripted
from store.unit_of_work import Store
from tests.unit.test_otlp_conventions import CHAT, FORMS, SPAN, TRACE, as_json, as_protobuf

from .conftest import Reply, World, run_gateway

PROTOBUF = {"Content-Type": "application/x-protobuf"}
PATH = "/v1/traces"
ATTRIBUTES, EVENTS = FORMS["1.37, structured"]


def batch(number: int) -> bytes:
    """So many chats, each a span of its own."""
    request = ExportTraceServiceRequest()
    template = ExportTraceServiceRequest.FromString(as_protobuf(ATTRIBUTES, EVENTS))
    spans = request.resource_spans.add().scope_spans.add().spans
    for place in range(1, number + 1):
        span = spans.add()
        span.CopyFrom(template.resource_spans[0].scope_spans[0].spans[0])
        span.span_id = place.to_bytes(8, "big")
    return request.SerializeToString()


def take(world: World, body: bytes, **headers: str) -> Reply:
    return world.send("POST", PATH, body, headers={**PROTOBUF, **headers})


def count(world: World) -> int:
    return int(world.rows("SELECT count(*) FROM inferences")[0][0])


def test_a_batch_is_on_disk_when_it_is_answered_and_once_however_often_it_is_sent(world: World) -> None:
    body = batch(1200)
    for _ in range(10):
        found = take(world, body)
        assert found.status == 200 and found.headers["content-type"] == "application/x-protobuf"
        assert not ExportTraceServiceResponse.FromString(found.raw).HasField("partial_success")
        assert count(world) == 1200
    ((kind, version, prompt, response),) = world.rows(
        "SELECT kind, version, prompt, response FROM inferences JOIN inference_texts ON inference_id = id LIMIT 1"
    )
    assert (kind, version, prompt, response) == ("import", "", "Where is my parcel?", "It arrives today.")


@pytest.mark.parametrize("packed", [False, True])
def test_json_and_gzip_are_taken_too(world: World, packed: bool) -> None:
    body = as_json(ATTRIBUTES, EVENTS)
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if packed:
        body, headers = gzip.compress(body), {**headers, "Content-Encoding": "gzip"}
    found = world.send("POST", PATH, body, headers=headers)
    assert (found.status, found.json, count(world)) == (200, {}, 1)


def test_feedback_names_the_span(world: World) -> None:
    take(world, as_protobuf(ATTRIBUTES, EVENTS))
    told = {"kind": "thumb", "value": -1, "inference": f"{TRACE.upper()}:{SPAN}"}
    found = world.send("POST", "/v1/feedback", told)
    assert (found.status, found.json["inference"]) == (200, exchange_id(TRACE, SPAN))


def test_what_is_left_out_is_said(world: World) -> None:
    found = ExportTraceServiceResponse.FromString(take(world, as_protobuf(CHAT)).raw).partial_success
    assert found.rejected_spans == 0 and "1 chat spans record no messages" in found.error_message
    reply = world.send("POST", PATH, as_json(ATTRIBUTES, EVENTS, trace="0" * 32))
    assert reply.json["partialSuccess"]["rejectedSpans"] == "1" and count(world) == 0
    assert take(world, as_protobuf({"http.request.method": "GET"})).raw == b""


def test_refusals_have_the_codes_that_senders_know(world: World) -> None:
    body = as_protobuf(ATTRIBUTES, EVENTS)
    assert take(world, b"\xff\xff").status == 400
    assert world.send("POST", PATH, b"{}", headers={"Content-Type": "text/plain"}).status == 415
    assert take(world, body, **{"Content-Encoding": "br"}).status == 415
    assert world.send("POST", PATH, body, key="", headers=PROTOBUF).status == 401
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join([*(bomb.compress(bytes(1 << 20)) for _ in range(64)), bomb.flush()])
    assert take(world, packed, **{"Content-Encoding": "gzip"}).status == 413
    assert count(world) == 0


def test_while_the_store_is_away_senders_are_told_to_come_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert take(world, batch(1)).status == 200
    away = Store.open("sqlite:////nonexistent-folder/trimtab.db")
    monkeypatch.setattr(world.gateway.capture, "_store", away)
    found = take(world, batch(3))
    assert found.status == 503 and found.headers["retry-after"]
    monkeypatch.setattr(world.gateway.capture, "_store", world.store)
    world.settle(lambda: take(world, batch(3)).status == 200)
    assert count(world) == 3


def test_chats_find_room_while_spans_wait(world: World) -> None:
    limit = world.gateway.settings.gateway.capture_queue
    world.gateway.capture._jobs_in += limit // 2
    assert take(world, batch(1)).status == 503
    assert world.chat().status == 200 and not world.gateway.capture.counts.dropped
    world.gateway.capture._jobs_in -= limit // 2


def test_a_batch_passes_through_a_small_room(tmp_path: Path) -> None:
    with run_gateway(tmp_path, Scripted(), gateway=GatewaySettings(capture_queue=8)) as world:
        assert take(world, batch(50)).status == 200
        assert count(world) == 50


def test_what_the_store_says_while_it_is_away_does_not_end_the_capture(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def write(self, now: object) -> None:
            raise RuntimeError("not foreseen")

    world.gateway.capture.trouble = "away"
    monkeypatch.setattr(world.gateway.capture, "_store", Broken())
    world.gateway.capture._jobs.put(_Job((), 0))  # wakes the thread, which now looks for the store
    time.sleep(1.0)
    assert world.gateway.capture._thread.is_alive()
    monkeypatch.setattr(world.gateway.capture, "_store", world.store)
    world.settle(lambda: take(world, batch(3)).status == 200)


def test_no_payload_is_the_gateways_fault(world: World) -> None:
    rng = random.Random(11)
    sound: list[tuple[bytes, dict[str, str]]] = [(as_protobuf(*form), PROTOBUF) for form in FORMS.values()]
    sound += [(as_json(*form), {"Content-Type": "application/json"}) for form in FORMS.values()]
    for _ in range(400):
        body, headers = rng.choice(sound)
        found = world.send("POST", PATH, mutate(bytearray(body), rng), headers=headers)
        assert found.status in (200, 400), found.raw
    assert world.chat().status == 200
    assert not [line for line in world.lines if "failed" in line]


def mutate(body: bytearray, rng: random.Random) -> bytes:
    """Some bytes changed, cut out, or repeated."""
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(body))
        kind = rng.randrange(4)
        if kind == 0:
            body[place] = rng.randrange(256)
        elif kind == 1:
            del body[place : place + rng.randrange(1, 9)]
        elif kind == 2:
            body[place:place] = rng.choice([b"\x00", b"null", b"1e999", b"-1", b"[[[[", b"\xed\xa0\x80", b'"'])
        else:
            body[place:place] = body[place : place + rng.randrange(64)]
        if not body:
            body.append(0)
    return bytes(body)


def test_spans_of_another_schema_are_only_passed_over(world: World) -> None:
    odd: dict[str, Any] = {"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": []}]}]}, {}]}
    assert world.send("POST", PATH, json.dumps(odd).encode()).status == 200
