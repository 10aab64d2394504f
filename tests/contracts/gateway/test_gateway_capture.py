"""What is kept: also of clients that leave, servers that fail, and while the store is away or the queue full."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from core.settings import GatewaySettings
from gateway.servers.scripted import Scripted
from store import inferences
from store.unit_of_work import Store

from .conftest import World, make_store, run_gateway, wait_until

AWAY = "sqlite:////nonexistent-folder/trimtab.db"


def leave_after(world: World, size: int, *, stream: bool) -> None:
    """Ask by a bare socket and hang up once `size` bytes came."""
    body = json.dumps(
        {
            "model": "assistant",
            "stream": stream,
            "messages": [{"role": "user", "content": " ".join(f"w{n}" for n in range(200))}],
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    host, port = world.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head + body)
        got = 0
        while got < size:
            got += len(client.recv(4096))
        if not size:
            time.sleep(0.3)


def test_client_that_leaves_a_stream_is_captured_with_what_it_got(world: World) -> None:
    world.server.word_seconds = 0.01
    leave_after(world, 2000, stream=True)
    world.captured(1)
    ((status, error, response, latency),) = world.rows(
        "SELECT status, error, response, latency_ms FROM inferences JOIN inference_texts ON inference_id = id"
    )
    assert (status, error) == (499, "client left")
    assert response.startswith("assistant-base heard: w0 w1")
    assert "w199" not in response
    assert latency < 1900
    assert world.gateway.answering == 0


def test_client_that_leaves_before_a_whole_answer_stops_the_work(world: World) -> None:
    world.server.word_seconds = 0.02
    leave_after(world, 0, stream=False)
    world.captured(1)
    assert world.rows("SELECT status, response FROM inferences JOIN inference_texts ON inference_id = id") == [
        (499, "")
    ]


def test_server_that_fails_midway_ends_the_stream_with_an_error_and_is_captured(world: World) -> None:
    world.server.word_seconds = 0.01
    timer = threading.Timer(0.3, lambda: setattr(world.server, "away", True))
    timer.start()
    reply = world.chat(" ".join("abcdefghij" * 10), stream=True)
    timer.join()
    assert reply.status == 200
    assert '"error"' in reply.raw.decode().strip().splitlines()[-1]
    world.captured(1)
    assert world.rows("SELECT status FROM inferences") == [(503,)]


def test_answer_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    slow = Scripted(word_seconds=0.2)
    with run_gateway(tmp_path, slow, gateway=GatewaySettings(timeout_seconds=0.5)) as world:
        assert world.chat("a b c d e f g").status == 503
        world.captured(1)
        assert world.rows("SELECT status FROM inferences") == [(503,)]


def test_store_away_answers_chats_and_refuses_feedback_then_writes_what_waited(world: World) -> None:
    first = world.chat().json["id"]
    world.captured(1)
    engine = world.store.engine
    world.store.engine = Store.open(AWAY).engine
    try:
        statuses = {world.chat(f"number {n}").status for n in range(100)}
        assert statuses == {200}
        wait_until(lambda: world.gateway.capture.trouble != "")
        reply = world.send("POST", "/v1/feedback", {"inference": first, "kind": "thumb", "value": 1})
        assert reply.status == 503
        assert reply.headers["retry-after"]
    finally:
        world.store.engine = engine
    world.captured(101)
    assert world.rows("SELECT count(*) FROM inferences") == [(101,)]
    assert world.rows("SELECT count(*) FROM feedback") == [(0,)]
    assert world.send("POST", "/v1/feedback", {"inference": first, "kind": "thumb", "value": 1}).status == 200


def test_feedback_is_taken_again_once_the_store_is_back_though_nobody_chats(world: World) -> None:
    told = {"inference": world.chat().json["id"], "kind": "thumb", "value": 1}
    world.captured(1)
    engine = world.store.engine
    world.store.engine = Store.open(AWAY).engine
    try:
        assert world.send("POST", "/v1/feedback", told).status == 503
    finally:
        world.store.engine = engine
    wait_until(lambda: world.send("POST", "/v1/feedback", told).status == 200)
    assert world.gateway.capture.trouble == ""


def test_disk_full_answers_chats_refuses_feedback_and_recovers(world: World) -> None:
    import sqlalchemy as sa

    first = world.chat().json["id"]
    world.captured(1)
    engine = world.store.engine
    pages = world.rows("PRAGMA page_count")[0][0]

    def shrink(connection: Any, _: Any) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    engine.dispose()
    sa.event.listen(engine, "connect", shrink)
    try:
        text = "x" * 5000
        assert {world.chat(text).status for _ in range(40)} == {200}
        wait_until(lambda: "disk" in world.gateway.capture.trouble)
        reply = world.send("POST", "/v1/feedback", {"inference": first, "kind": "thumb", "value": 1})
        assert (reply.status, bool(reply.headers["retry-after"])) == (503, True)
        assert world.send("GET", "/health").json["status"] == "degraded"
    finally:
        sa.event.remove(engine, "connect", shrink)
        engine.dispose()
    world.captured(41)
    assert world.rows("SELECT count(*) FROM inferences") == [(41,)]
    assert world.send("POST", "/v1/feedback", {"inference": first, "kind": "thumb", "value": 1}).status == 200


def test_gateway_that_ends_midway_captures_what_was_said(tmp_path: Path) -> None:
    replies: list[Any] = []

    def ask(world: World) -> None:
        try:
            replies.append(world.chat(" ".join(f"w{n}" for n in range(500)), stream=True))
        except (OSError, HTTPException) as error:
            replies.append(error)

    with run_gateway(tmp_path, Scripted(word_seconds=0.05)) as world:
        thread = threading.Thread(target=ask, args=(world,))
        thread.start()
        wait_until(lambda: world.gateway.answering == 1)
        time.sleep(0.3)
        began = time.monotonic()
    thread.join(10)
    assert time.monotonic() - began < 5.5
    store = Store.open(world.gateway.settings.store_url)
    with store.read() as tx:
        (row,) = inferences.after(tx, 0, limit=5)
    store.close()
    assert (row.status, row.error) == (503, "gateway stopped")
    assert row.response.startswith("assistant-base heard: w0")


def test_full_queue_drops_and_counts_and_every_chat_is_answered(tmp_path: Path) -> None:
    with run_gateway(tmp_path, Scripted(), gateway=GatewaySettings(capture_queue=5)) as world:
        world.chat()
        world.captured(1)
        engine = world.store.engine
        world.store.engine = Store.open(AWAY).engine
        try:
            assert {world.chat().status for _ in range(30)} == {200}
        finally:
            world.store.engine = engine
        world.captured(6)
        dropped = world.gateway.capture.counts.dropped["full"]
        kept = world.rows("SELECT count(*) FROM inferences")[0][0]
        assert dropped >= 24
        assert kept + dropped == 31
        text = world.send("GET", "/metrics").raw.decode()
        assert f'trimtab_capture_dropped_total{{reason="full"}} {dropped}' in text


def test_feedback_is_committed_once_an_id_and_ties_to_the_answer(world: World) -> None:
    answer = world.chat("where is it").json["id"]
    base = {"inference": answer, "contributor": "anna", "id": "9f8d5f0e-56c4-4d39-9d3e-3e1f3f1c1a11"}
    for new in (True, False, False):
        reply = world.send("POST", "/v1/feedback", {**base, "kind": "thumb", "value": -1})
        assert (reply.status, reply.json["new"]) == (200, new)
    for kind in (
        {"kind": "rating", "value": 0.25, "comment": "so so"},
        {"kind": "choice", "chosen": "a", "rejected": "b"},
        {"kind": "correction", "chosen": "right"},
    ):
        assert world.send("POST", "/v1/feedback", {"inference": answer.removeprefix("chatcmpl-"), **kind}).status == 200
    rows = world.rows("SELECT kind, value, chosen, rejected, contributor FROM feedback ORDER BY id")
    assert [row[:4] for row in rows] == [
        ("thumb", -1.0, "", ""),
        ("rating", 0.25, "", ""),
        ("choice", None, "a", "b"),
        ("correction", None, "right", "assistant-base heard: where is it"),
    ]
    assert len(rows[0][4]) == 32
    missing = {"inference": "9f8d5f0e-56c4-4d39-9d3e-3e1f3f1c1a12", "kind": "thumb", "value": 1}
    assert world.send("POST", "/v1/feedback", missing).status == 404


def test_texts_that_no_database_takes_are_kept_readable(world: World) -> None:
    assert world.chat("nul \u0000 here", metadata={"a": "\u0000"}).status == 200
    world.captured(1)
    assert world.rows("SELECT prompt FROM inference_texts") == [("nul \ufffd here",)]


def test_heartbeat_says_what_is_served(world: World) -> None:
    world.settle(lambda: bool(world.rows("SELECT process FROM heartbeats")))
    ((process, told),) = world.rows("SELECT process, info FROM heartbeats")
    assert process == "gateway"
    assert json.loads(told)["deployment"] == "assistant"


class Program:
    """`python -m gateway` as a process of its own."""

    def __init__(self, home: Path) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "TRIMTAB_HOME": str(home),
            "TRIMTAB_GATEWAY__SERVER": "scripted",
        }

    def start(self, port: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            env={**self.environment, "TRIMTAB_GATEWAY__PORT": str(port)},
            cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE,
        )


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post(port: int, path: str, key: str, body: Any) -> tuple[int, Any]:
    request = Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {key}")
    with urlopen(request, timeout=10) as response:
        return response.status, json.loads(response.read())


def wait_for(port: int) -> None:
    def answers() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    wait_until(answers, 40)


@pytest.mark.slow
def test_kill_9_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    from config.load import load
    from config.secrets import internal_key

    settings = load({"home": str(tmp_path)}, environment={})
    key = internal_key(settings)
    store = make_store(tmp_path)
    program, port = Program(tmp_path), find_port()
    acknowledged: list[str] = []
    try:
        for _ in range(3):
            process = program.start(port)
            wait_for(port)
            threads = [threading.Thread(target=talk, args=(port, key, acknowledged)) for _ in range(4)]
            for thread in threads:
                thread.start()
            before = len(acknowledged)
            wait_until(lambda before=before: len(acknowledged) > before + 25, 30)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            assert process.stderr is not None
            process.stderr.close()
            for thread in threads:
                thread.join(20)
        import sqlalchemy as sa

        with store.read() as tx:
            kept = {row[0] for row in tx.execute(sa.text("SELECT uuid FROM feedback"))}
            torn = tx.scalar(
                sa.text("SELECT count(*) FROM inferences WHERE id NOT IN (SELECT inference_id FROM inference_texts)")
            )
            sound = tx.scalar(sa.text("PRAGMA integrity_check"))
        assert len(acknowledged) > 75
        assert set(acknowledged) <= kept
        assert torn == 0
        assert sound == "ok"
    finally:
        store.close()


def talk(port: int, key: str, acknowledged: list[str]) -> None:
    """Chat and give feedback until the gateway is gone; feedback answered 200 is acknowledged, and so is its chat."""
    question = {"model": "assistant", "messages": [{"role": "user", "content": "x"}]}
    try:
        while True:
            _, answer = post(port, "/v1/chat/completions", key, question)
            _, told = post(port, "/v1/feedback", key, {"inference": answer["id"], "kind": "thumb", "value": 1})
            acknowledged.append(told["id"])
    except (OSError, HTTPException):  # the kill may fall within an answer
        return


def test_sigterm_ends_cleanly_and_writes_what_waits(tmp_path: Path) -> None:
    from config.load import load
    from config.secrets import internal_key

    settings = load({"home": str(tmp_path)}, environment={})
    key = internal_key(settings)
    store = make_store(tmp_path)
    port = find_port()
    process = Program(tmp_path).start(port)
    try:
        wait_for(port)
        body = {"model": "assistant", "messages": [{"role": "user", "content": "x"}]}
        for _ in range(50):
            post(port, "/v1/chat/completions", key, body)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=15)
        assert time.monotonic() - began < 5
        assert process.returncode == 0
        assert "listening" in told.decode()
        import sqlalchemy as sa

        with store.read() as tx:
            assert tx.scalar(sa.text("SELECT count(*) FROM inferences")) == 50
    finally:
        process.kill()
        store.close()


@pytest.mark.parametrize("case", ["no tables", "port taken", "unknown server", "bad setting", "open to all"])
def test_what_keeps_it_from_starting_is_one_sentence(tmp_path: Path, case: str) -> None:
    program = Program(tmp_path)
    port = find_port()
    with socket.socket() as other:
        if case != "no tables":
            make_store(tmp_path).close()
        if case == "port taken":
            other.bind(("127.0.0.1", port))
            other.listen()
        if case == "unknown server":
            program.environment["TRIMTAB_GATEWAY__SERVER"] = "oracle"
        if case == "bad setting":
            program.environment["TRIMTAB_GATEWAY__MAX_TOKENS"] = "many"
        if case == "open to all":
            program.environment |= {"TRIMTAB_GATEWAY__OPEN_ACCESS": "true", "TRIMTAB_GATEWAY__HOST": "0.0.0.0"}
        process = program.start(port)
        _, told = process.communicate(timeout=40)
    words = {
        "no tables": "has schema none",
        "port taken": "cannot listen",
        "unknown server": "no server named oracle",
        "bad setting": "gateway.max_tokens",
        "open to all": "answers without a key",
    }
    assert process.returncode != 0
    assert words[case] in told.decode()
    assert len(told.decode().strip().splitlines()) == 1
