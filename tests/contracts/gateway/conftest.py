"""A whole gateway on a free port: real uvicorn and store, the scripted server in place of a model."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import uvicorn

from core.ports import Server
from core.settings import GatewaySettings, Settings
from core.types import ModelVersion
from gateway import app
from gateway.context import Gateway
from gateway.servers.scripted import Scripted
from store import deployments, keys, schema, versions
from store.unit_of_work import Store

INTERNAL = "ti-test-internal-key"


def serve(served: Any) -> Iterator[str]:
    """The address of the ASGI app `served` while the generator is open."""
    bound = app.listen("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(served, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    wait_until(lambda: running.started)
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    running.should_exit = True
    thread.join(15)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Reply:
    """What came back: status, headers with lower-case names, and the body as JSON where it is."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class World:
    """A running gateway and the means to talk to it."""

    gateway: Gateway
    store: Store
    server: Any
    url: str
    key: str
    lines: list[str] = field(default_factory=list)

    def send(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data=data, method=method)
        if key != "":
            request.add_header("Authorization", f"Bearer {self.key if key is None else key}")
        request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urlopen(request, timeout=30) as response:
                return Reply(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
        except HTTPError as error:
            return Reply(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def chat(self, text: str = "hello there", **more: Any) -> Reply:
        options = {name: more.pop(name) for name in ("key", "headers") if name in more}
        body = {"model": "assistant", "messages": [{"role": "user", "content": text}], **more}
        return self.send("POST", "/v1/chat/completions", body, **options)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        import sqlalchemy as sa

        with self.store.read() as tx:
            return [tuple(row) for row in tx.execute(sa.text(query))]

    def settle(self, check: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until `check` holds."""
        wait_until(check, seconds)

    def captured(self, number: int) -> None:
        """Wait until so many exchanges are committed."""
        self.settle(lambda: self.gateway.capture.counts.written >= number)


def wait_until(check: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


@functools.cache
def template() -> bytes:
    """A SQLite file in which assistant-base is live and two adapters are known: migrations run once, not a test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trimtab.db"
        store = Store.open(f"sqlite:///{path}")
        schema.upgrade(store, now=now())
        with store.write(now()) as tx:
            for name, kind, place in (
                ("assistant-base", "base", ""),
                ("assistant-v1", "adapter", "versions/one"),
                ("assistant-v2", "adapter", "versions/two"),
            ):
                version = ModelVersion(name, name.ljust(64, "0"), kind, "chat", place, now())  # type: ignore[arg-type]
                versions.register(tx, version, actor="system:test")
            deployments.install(tx, "assistant", "assistant-base", actor="system:test")
        with store.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        store.close()
        return path.read_bytes()


def make_store(home: Path) -> Store:
    """A copy of the template in `home`, opened."""
    path = home / "trimtab.db"
    path.write_bytes(template())
    return Store.open(f"sqlite:///{path}")


@contextlib.contextmanager
def run_gateway(home: Path, server: Server, *, gateway: GatewaySettings | None = None) -> Iterator[World]:
    settings = Settings(home=home, models_home=home / "models", gateway=gateway or GatewaySettings(port=0))
    store = make_store(home)
    with store.write(now()) as tx:
        key = keys.create(tx, "test", "chat", "system:test")
    lines: list[str] = []
    made = app.assemble(settings, store, server, internal_key=INTERNAL, tell=lines.append)
    bound = app.listen("127.0.0.1", 0)
    running = app.prepare(app.build(made), lambda: lines.append("ready"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    world = World(made, store, server, f"http://127.0.0.1:{bound.getsockname()[1]}", key, lines)
    try:
        wait_until(lambda: running.started and bool(made.router.served) and made.router.server_answers, 90)
        yield world
    finally:
        running.should_exit = True
        thread.join(15)
        store.close()
        assert not thread.is_alive(), "the gateway did not end"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def world(tmp_path: Path, scripted: Scripted) -> Iterator[World]:
    """A gateway over the scripted server."""
    with run_gateway(tmp_path, scripted) as running:
        yield running


def zipped(value: Any) -> bytes:
    return gzip.compress(json.dumps(value).encode())


__all__ = ["INTERNAL", "World", "make_store", "run_gateway", "wait_until", "zipped"]
