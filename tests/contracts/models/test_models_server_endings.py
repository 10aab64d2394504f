"""How the model server's answers and processes end: callers that hang up, full queues, failures, SIGTERM."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.errors import Unavailable
from models.engine import Engine
from models.load import Base, load_base
from models.tiny import write_model
from tests.contracts.models.conftest import HELLO, TOKEN, Served, wait_for

ROOT = Path(__file__).resolve().parents[3]


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path, port: int, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "models", "--port", str(port), "--threads", "1", "--dtype", "float32", *flags]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TRIMTAB_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
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


def test_nothing_is_unloaded_by_halves_while_the_base_is_loading() -> None:
    engine = Engine(lambda: pytest.fail("not started"), time.perf_counter)
    with pytest.raises(Unavailable, match="loading"):
        engine.unload("one")
    assert not engine.leaving, "it could not be used again"
