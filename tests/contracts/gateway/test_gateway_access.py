"""Keys, policies of routes, and what becomes of requests nobody should send."""

from __future__ import annotations

import gzip
import json
import random
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from core.settings import GatewaySettings
from gateway import app, auth
from gateway.policy import Guard, Policy
from gateway.routes import ROUTES
from gateway.servers.scripted import Scripted
from store import keys
from store.unit_of_work import Store

from .conftest import INTERNAL, World, now, run_gateway

AWAY = "sqlite:////nonexistent-folder/trimtab.db"


def find_unguarded(routes: Any) -> list[str]:
    """The routes that no policy stands before."""
    return [
        str(getattr(route, "path", route))
        for route in routes
        if not (isinstance(route, Route) and isinstance(route.app, Guard) and route.app.entry.policy in Policy)
    ]


def test_every_route_has_a_policy(world: World) -> None:
    built = app.build(world.gateway)
    assert find_unguarded(built.routes) == []
    assert {(entry.method, entry.path): entry.policy.value for entry in ROUTES} == {
        ("POST", "/v1/chat/completions"): "chat",
        ("GET", "/v1/models"): "chat",
        ("POST", "/v1/traces"): "chat",
        ("POST", "/v1/feedback"): "chat",
        ("GET", "/internal/fingerprint"): "internal",
        ("POST", "/internal/score"): "internal",
        ("GET", "/internal/experts"): "internal",
        ("GET", "/health"): "open",
        ("GET", "/metrics"): "open",
    }
    built.add_route("/debug", lambda request: None)
    assert find_unguarded(built.routes) == ["/debug"]


@pytest.mark.parametrize("entry", ROUTES, ids=lambda entry: entry.path)
def test_policy_is_kept_by_each_route(world: World, entry: Any) -> None:
    body = {} if entry.method == "POST" else None
    without = world.send(entry.method, entry.path, body, key="").status
    wrong = world.send(entry.method, entry.path, body, key="tk-wrong").status
    chat = world.send(entry.method, entry.path, body).status
    internal = world.send(entry.method, entry.path, body, key=INTERNAL).status
    if entry.policy is Policy.OPEN:
        assert 401 not in (without, wrong, chat, internal)
        return
    assert without == wrong == 401
    assert (chat == 403) == (entry.policy is Policy.INTERNAL)
    assert internal not in (401, 403)


def test_revoked_key_ends_within_the_cache_time(world: World) -> None:
    assert world.chat().status == 200
    with world.store.write(now()) as tx:
        row = next(row for row in keys.listed(tx) if row["name"] == "test")
        keys.revoke(tx, row["id"], actor="system:test")
    revoked = time.monotonic()
    while world.chat().status != 401:
        assert time.monotonic() - revoked < 5.0
        time.sleep(0.1)


def test_store_away_lets_in_nobody_it_did_not_prove(world: World) -> None:
    with world.store.write(now()) as tx:
        unseen = keys.create(tx, "unseen", "chat", "system:test")
    engine = world.store.engine
    world.store.engine = Store.open(AWAY).engine
    try:
        statuses = [world.chat(key=unseen).status for _ in range(50)] + [
            world.chat(key="tk-no").status for _ in range(50)
        ]
        assert set(statuses) == {503}
    finally:
        world.store.engine = engine


def test_key_proved_before_an_outage_stays_good_for_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "CACHE_SECONDS", 0.05)
    assert world.chat().status == 200
    engine = world.store.engine
    world.store.engine = Store.open(AWAY).engine
    try:
        time.sleep(0.1)
        assert world.chat().status == 200
        monkeypatch.setattr(auth, "OUTAGE_SECONDS", 0.05)
        assert world.chat().status == 503
    finally:
        world.store.engine = engine


def test_open_access_takes_no_key_but_no_wrong_one(tmp_path: Path) -> None:
    with run_gateway(tmp_path, Scripted(), gateway=GatewaySettings(open_access=True)) as world:
        assert world.chat(key="").status == 200
        assert world.chat(key="tk-wrong").status == 401
        assert world.send("GET", "/internal/fingerprint", key="").status == 403


GOOD = {"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"model": NaN}', 400, "invalid_json"),
        (b'{"model": "\\ud800"}', 400, "invalid_json"),
        (b'{"seed": ' + b"9" * 5000 + b"}", 400, "invalid_json"),
        ({**GOOD, "messages": []}, 400, "invalid_value"),
        ({**GOOD, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "invalid_value"),
        ({**GOOD, "max_tokens": 10**30}, 400, "invalid_value"),
        ({**GOOD, "max_tokens": True}, 400, "invalid_value"),
        ({**GOOD, "metadata": {str(n): "x" for n in range(17)}}, 400, "invalid_value"),
        ({**GOOD, "metadata": {"a": "x" * 513}}, 400, "invalid_value"),
        ({**GOOD, "n": 2}, 400, "unsupported"),
        ({**GOOD, "tools": [{"type": "function"}]}, 400, "unsupported"),
        ({**GOOD, "model": "nobody"}, 404, "model_not_found"),
        ({**GOOD, "pad": "x" * 1_100_000}, 413, "request_too_large"),
    ],
)  # fmt: skip
def test_wrong_requests_get_an_error_object(world_of_module: World, body: Any, status: int, code: str) -> None:
    reply = world_of_module.send("POST", "/v1/chat/completions", body)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    assert reply.json["error"]["message"]


@pytest.fixture(scope="module")
def world_of_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One gateway for many requests."""
    with run_gateway(tmp_path_factory.mktemp("gateway"), Scripted()) as running:
        yield running


def test_limit_holds_after_decompression(world_of_module: World) -> None:
    import resource

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(packer.compress(b"0" * 1_048_576) for _ in range(512)), packer.flush()])
    assert len(bomb) < 1_048_576
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    reply = world_of_module.send("POST", "/v1/chat/completions", bomb, headers={"Content-Encoding": "gzip"})
    assert (reply.status, reply.json["error"]["code"]) == (413, "request_too_large")
    assert time.perf_counter() - began < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    good = gzip.compress(json.dumps(GOOD).encode())
    twice = gzip.compress(json.dumps(GOOD)[:20].encode()) + gzip.compress(json.dumps(GOOD)[20:].encode())
    for body, status in ((good, 200), (twice, 200), (good[:-3], 400), (b"no gzip", 400)):
        sent = world_of_module.send("POST", "/v1/chat/completions", body, headers={"Content-Encoding": "gzip"})
        assert sent.status == status
    assert world_of_module.send("POST", "/v1/chat/completions", b"x", headers={"Content-Encoding": "br"}).status == 415


def test_unknown_paths_and_methods_get_an_error_object(world_of_module: World) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/v1/feedback", 405), ("DELETE", "/v1/models", 405)):
        reply = world_of_module.send(method, path)
        assert (reply.status, reply.json["error"]["type"]) == (status, "invalid_request_error")


def test_too_many_chats_at_once_are_told_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.chat.MOST_ANSWERING", 0)
    reply = world.chat()
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")


def test_fault_of_our_own_is_a_503_that_the_log_names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("gateway.chat._kind", fail)
    reply = world.chat()
    assert (reply.status, reply.json["error"]["code"]) == (503, "internal")
    assert b"secret" not in reply.raw
    assert any("ZeroDivisionError" in line for line in world.lines)


def test_mutated_payloads_never_make_a_500(world_of_module: World) -> None:
    source = random.Random(20261123)
    answer = world_of_module.chat().json["id"]
    bodies = {
        "/v1/chat/completions": {
            **GOOD,
            "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "seed": 3, "stream": False,
            "user": "u", "metadata": {"topic": "tea"}, "stream_options": None, "logit_bias": {}, "n": 1,
        },
        "/v1/feedback": {
            "inference": answer, "kind": "choice", "value": None, "chosen": "a", "rejected": "b",
            "comment": "c", "contributor": "d",
        },
    }  # fmt: skip
    seen: dict[int, int] = {}
    for _ in range(600):
        path = source.choice(list(bodies))
        raw = mutate(bodies[path], source)
        status = world_of_module.send("POST", path, raw).status
        assert status in (200, 400, 404, 413), raw
        seen[status] = seen.get(status, 0) + 1
    assert {200, 400, 404} <= set(seen)


ODD = [
    None, True, False, 0, -1, 1e308, 10**40, "", "x" * 3000, "\u0000", "💥", [], {}, [[]], [None], {"a": None},
    "\ud800",
    [{"role": "user"}], [{"role": 1, "content": 2}], [{"role": "tool", "content": None}], "assistant@x", "@", "NaN",
]  # fmt: skip


def mutate(body: dict[str, Any], source: random.Random) -> bytes:
    changed = dict(body)
    for _ in range(source.randint(1, 3)):
        name = source.choice([*changed, "tools", "response_format", "max_completion_tokens", "id"])
        changed[name] = source.choice(ODD)
    if source.random() < 0.2:
        changed.pop(source.choice(list(changed)))
    raw = bytearray(json.dumps(changed).encode())
    if source.random() < 0.3:
        for _ in range(source.randint(1, 4)):
            raw[source.randrange(len(raw))] = source.randrange(256)
    return bytes(raw)
