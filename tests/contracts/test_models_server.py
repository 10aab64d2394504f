"""The model server's protocol over a real socket: chat, versions, scores, prints, refusals and endings."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from models.app import BODY_LIMIT, build_app
from models.engine import Engine
from models.load import Base, load_base
from models.tiny import write_adapter, write_model

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-tests"
HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True)
class Served:
    """A server of this test run on a loopback port."""

    port: int
    engine: Engine
    folder: Path
    adapters: Path

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN
    ) -> tuple[int, Any, dict[str, str]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            raw = response.read()
            return response.status, json.loads(raw) if raw else None, dict(response.getheaders())

    def post(self, path: str, /, **body: Any) -> Any:
        status, answer, _ = self.ask("POST", path, body)
        assert status == 200, answer
        return answer

    def refuse(self, path: str, body: Any, status: int) -> str:
        got, answer, headers = self.ask("POST", path, body)
        assert got == status, answer
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert ("retry-after" in headers) == (status == 503)
        return str(answer["error"]["message"])

    def chat(self, **body: Any) -> Any:
        return self.post("/v1/chat/completions", **{"model": "base", "messages": HELLO, "temperature": 0} | body)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    import uvicorn

    folder = write_model(tmp_path_factory.mktemp("model") / "chat", context=600)
    adapters = tmp_path_factory.mktemp("adapters")
    for number in (1, 2, 3):
        write_adapter(adapters / f"v{number}", folder, seed=number)

    def load() -> Base:
        return load_base(folder, device="cpu", dtype="float32")

    engine = Engine(load, time.perf_counter, rows=4, queue=6)
    app = build_app(engine, TOKEN, root=adapters)
    server = uvicorn.Server(uvicorn.Config(app, loop="uvloop", http="httptools", log_level="error", port=0))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        wait_for(lambda: engine.status == "ready")
        yield Served(port, engine, folder, adapters)
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
    assert not engine.thread.is_alive()


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_whole_answer(served: Served) -> None:
    answer = served.chat(max_tokens=10)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "base"
    choice = answer["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] in ("length", "stop")
    counts = answer["usage"]
    assert counts["total_tokens"] == counts["prompt_tokens"] + counts["completion_tokens"]
    timing = answer["trimtab"]
    assert 0 <= timing["queue_ms"] <= timing["first_token_ms"] <= timing["total_ms"]


def test_official_client_reads_whole_and_streamed(served: Served) -> None:
    import openai

    with openai.OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key=TOKEN, max_retries=0) as client:
        messages: Any = HELLO
        whole = client.chat.completions.create(model="base", messages=messages, max_tokens=12, temperature=0)
        text, finish, usage = "", None, None
        with client.chat.completions.create(
            model="base",
            messages=messages,
            max_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        ) as chunks:
            for chunk in chunks:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    finish = choice.finish_reason or finish
        assert text == whole.choices[0].message.content
        assert finish == whole.choices[0].finish_reason
        assert usage is not None
        assert whole.usage is not None
        assert usage.total_tokens == whole.usage.total_tokens
        assert next(iter(client.models.list())).id == "base"
        with pytest.raises(openai.NotFoundError, match="not loaded"):
            client.chat.completions.create(model="nobody", messages=messages)
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").chat.completions.create(model="base", messages=messages)


def test_versions_load_answer_and_leave(served: Served) -> None:
    plain = served.chat(max_tokens=16)["choices"][0]["message"]
    for number in (1, 2):
        name, path = f"shop-v{number}", str(served.adapters / f"v{number}")
        first = served.post("/load", name=name, path=path)
        assert served.post("/load", name=name, path=path) == first
        assert first["status"] == "loaded"
        assert len(first["digest"]) == 64
    message = served.refuse("/load", {"name": "shop-v1", "path": str(served.adapters / "v2")}, 409)
    assert "other content" in message
    answers = [served.chat(model=name, max_tokens=16)["choices"][0]["message"] for name in ("shop-v1", "shop-v2")]
    assert answers[0] != answers[1]
    assert served.chat(max_tokens=16)["choices"][0]["message"] == plain
    prints = [served.post("/fingerprint", name=name) for name in ("base", "shop-v1", "shop-v2", "shop-v1")]
    assert prints[1] == prints[3]
    assert len({found["digest"] for found in prints}) == 3
    _, health, _ = served.ask("GET", "/health", token=None)
    assert health["versions"] == ["shop-v1", "shop-v2"]
    assert served.post("/unload", name="shop-v2") == {"name": "shop-v2", "status": "unloaded"}
    assert served.post("/unload", name="shop-v2") == {"name": "shop-v2", "status": "absent"}
    assert "shop-v1" in served.refuse("/v1/chat/completions", {"model": "shop-v2", "messages": HELLO}, 404)
    served.refuse("/unload", {"name": "base"}, 400)
    served.post("/unload", name="shop-v1")


def test_scores_come_in_order_with_their_lengths(served: Served) -> None:
    items = [{"messages": HELLO, "completion": "x" * n} for n in (9, 1, 30)]
    scores = served.post("/score", name="base", items=items)
    assert [score["tokens"] for score in scores] == [10, 2, 31], "the token that ends the turn counts"
    assert all(score["logprob"] < 0 for score in scores)
    alone = [served.post("/score", name="base", items=[item])[0]["logprob"] for item in items]
    assert [score["logprob"] for score in scores] == pytest.approx(alone, rel=1e-4)


BAD_CHATS: list[tuple[Any, str]] = [
    (b"{", "JSON"),
    (b"[]", "JSON object"),
    (b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}', "UTF-8"),
    (b"[" * 100_000, "JSON"),
    ({}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": ["x"]}, "role"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": 3}]}, "content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://x"}]}]}, "not text"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": 599}, "context is 600"),
    ({"messages": [{"role": "user", "content": "x" * 700}]}, "context is 600"),
    ({"seed": "x"}, "seed"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"stop": [""]}, "stop"),
    ({"n": 2}, "support n"),
    ({"logprobs": True}, "logprobs"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
]


@pytest.mark.parametrize(("body", "said"), BAD_CHATS, ids=[str(at) for at in range(len(BAD_CHATS))])
def test_bad_chat_gets_one_plain_sentence(served: Served, body: Any, said: str) -> None:
    if isinstance(body, dict) and body:
        body = {"model": "base", "messages": HELLO, **body}
    assert said in served.refuse("/v1/chat/completions", body, 400)


def test_bad_calls_to_the_other_routes(served: Served) -> None:
    assert "outside" in served.refuse("/load", {"name": "x-v1", "path": "/etc"}, 400)
    assert "outside" in served.refuse("/load", {"name": "x-v1", "path": str(served.adapters / ".." / "x")}, 400)
    assert "does not exist" in served.refuse("/load", {"name": "x-v1", "path": str(served.adapters / "x")}, 400)
    assert "path" in served.refuse("/load", {"name": "x-v1"}, 400)
    assert "items" in served.refuse("/score", {"name": "base"}, 400)
    assert "completion" in served.refuse("/score", {"name": "base", "items": [{"messages": HELLO}]}, 400)
    long = [{"messages": HELLO, "completion": "x" * 600}]
    assert "longer" in served.refuse("/score", {"name": "base", "items": long}, 400)
    served.refuse("/score", {"name": "nobody", "items": [{"messages": HELLO, "completion": "x"}]}, 404)
    served.refuse("/fingerprint", {"name": "nobody"}, 404)
    served.refuse("/load", b" " * (BODY_LIMIT + 1), 413)
    assert served.ask("GET", "/nothing")[0] == 404
    assert served.ask("GET", "/load")[0] == 405


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", "\xe9"])
def test_every_route_but_health_needs_the_token(served: Served, token: str | None) -> None:
    for method, path in [("GET", "/v1/models")] + [
        ("POST", path) for path in ("/v1/chat/completions", "/load", "/unload", "/score", "/fingerprint")
    ]:
        assert served.ask(method, path, {} if method == "POST" else None, token)[0] == 401
    assert served.ask("GET", "/health", None, token)[0] == 200


def test_health_names_the_base(served: Served) -> None:
    _, health, _ = served.ask("GET", "/health", token=None)
    assert health["status"] == "ready"
    assert health["base"] == served.engine.ready().digest
    assert {"versions", "queue", "running", "tokens_per_second"} <= set(health)


def open_stream(served: Served, **body: Any) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    body = {"model": "base", "messages": HELLO, "temperature": 0, "stream": True, "max_tokens": 500} | body
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {TOKEN}"})
    return connection, connection.getresponse()


def slow_down(served: Served, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.01) -> None:
    decoder = served.engine.decoder
    assert decoder is not None
    step = decoder.step

    def slow() -> bool:
        time.sleep(seconds)
        return step()

    monkeypatch.setattr(decoder, "step", slow)
    # Without an end token in sight every answer runs to its limit.
    monkeypatch.setattr(decoder, "base", Endless(decoder.base))


class Endless:
    """The base as it is, except that no token ends an answer."""

    end_ids: tuple[int, ...] = ()

    def __init__(self, base: Base) -> None:
        self.inner = base

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_hangs_up_frees_its_row(served: Served, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    slow_down(served, monkeypatch)
    if stream:
        connection, response = open_stream(served)
        assert response.status == 200
        response.readline()
        wait_for(lambda: served.engine.running() == 1)
        response.close()
    else:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        body = {"model": "base", "messages": HELLO, "max_tokens": 500}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {TOKEN}"})
        wait_for(lambda: served.engine.running() == 1)
    connection.close()
    wait_for(lambda: served.engine.running() == 0, 3.0)


def test_unload_waits_for_the_answers_that_use_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    served.post("/load", name="late-v1", path=str(served.adapters / "v3"))
    slow_down(served, monkeypatch, 0.002)
    connection, response = open_stream(served, model="late-v1", max_tokens=200)
    wait_for(lambda: served.engine.running() == 1)
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(served.post("/unload", name="late-v1")))
    thread.start()
    wait_for(lambda: "late-v1" not in served.engine.names())
    assert "unloaded" in served.refuse("/v1/chat/completions", {"model": "late-v1", "messages": HELLO}, 503)
    assert not done
    lines = [line for line in response.read().decode().split("\n\n") if line]
    connection.close()
    thread.join(10)
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    assert done == [{"name": "late-v1", "status": "unloaded"}]


def test_full_queue_says_when_to_come_back(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_down(served, monkeypatch)
    opened = [open_stream(served) for _ in range(served.engine.rows)]
    wait_for(lambda: served.engine.running() == served.engine.rows)
    opened += [open_stream(served) for _ in range(served.engine.queue_limit)]
    assert len(served.engine.waiting) == served.engine.queue_limit
    assert "queue is full" in served.refuse("/v1/chat/completions", {"model": "base", "messages": HELLO}, 503)
    for connection, response in opened:
        response.close()
        connection.close()
    wait_for(lambda: not served.engine.waiting and not served.engine.running())
    monkeypatch.undo()
    assert served.chat(max_tokens=2)["choices"]


def test_a_failing_step_ends_its_answers_and_not_the_server(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = served.engine.decoder
    assert decoder is not None

    def fail(*_arguments: object) -> None:
        raise RuntimeError("a tensor went missing")

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "forward", fail)
        message = served.refuse("/v1/chat/completions", {"model": "base", "messages": HELLO}, 503)
        assert "Decoding failed" in message
        assert "tensor" not in message
    assert served.chat(max_tokens=2)["choices"]


def test_a_server_without_a_token_does_not_start(served: Served) -> None:
    with pytest.raises(InvalidInput, match="token"):
        build_app(served.engine, "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path, port: int, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "models", "--port", str(port), "--threads", "1", "--dtype", "float32", *flags]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TRIMTAB_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def test_process_says_loading_then_ready_and_drains_on_sigterm(served: Served, tmp_path: Path) -> None:
    port = free_port()
    child = start(tmp_path, port, "--model", str(served.folder))
    seen: list[str] = []
    one = Served(port, served.engine, served.folder, served.adapters)

    def ready() -> bool:
        assert child.poll() is None, child.communicate()[1]
        try:
            seen.append(one.ask("GET", "/health", token=None)[1]["status"])
        except OSError:
            return False
        return seen[-1] == "ready"

    try:
        wait_for(ready, 60)
        assert seen[0] == "loading"
        key = (tmp_path / "secrets" / "internal.key").read_text().strip()
        body = {"model": "base", "messages": HELLO, "max_tokens": 300, "stream": True}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {key}"})
            response = connection.getresponse()
            response.readline()
            child.send_signal(signal.SIGTERM)
            assert response.read().decode().rstrip().endswith("data: [DONE]")
        assert child.wait(20) in (0, -signal.SIGTERM)
    finally:
        child.kill()
        child.communicate()


def test_wrong_start_is_one_sentence_and_exit_code_2(served: Served, tmp_path: Path) -> None:
    cases = [
        (free_port(), ("--model", str(tmp_path / "nothing")), "does not exist"),
        (served.port, ("--model", str(served.folder)), "cannot listen"),
        (free_port(), ("--model", str(served.folder), "--rows", "0"), "positive"),
    ]
    for port, flags, said in cases:
        child = start(tmp_path, port, *flags)
        _, error = child.communicate(timeout=60)
        assert child.returncode == 2
        assert said in error
        assert len(error.strip().splitlines()) == 1


def test_folder_that_cannot_be_loaded_is_named_by_health(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "spoilt")
    (folder / "model.safetensors").write_bytes(b"nothing")
    engine = Engine(lambda: load_base(folder), time.perf_counter)
    engine.start()
    wait_for(lambda: engine.status != "loading")
    assert engine.status == "failed"
    assert "model.safetensors" in engine.detail
    engine.stop()
