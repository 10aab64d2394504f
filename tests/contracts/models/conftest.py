"""A model server of this test run on a loopback port: real uvicorn and engine, a tiny random model."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.app import build_app
from models.engine import Engine
from models.load import Base, load_base
from models.tiny import write_adapter, write_model

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
