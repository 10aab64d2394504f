"""Puts the gateway together and runs it: the only place here that reads a clock, a socket or a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import config
from config import secrets
from core.errors import InvalidInput, TrimtabError, Unavailable
from core.ports import Server
from core.settings import Settings
from gateway.auth import Keyring
from gateway.capture import Capture
from gateway.context import Gateway, Names
from gateway.errors import REQUEST, Told
from gateway.pointer import remembered_path
from gateway.policy import Guard
from gateway.router import Router
from gateway.routes import ROUTES
from gateway.servers import connect
from gateway.shadow import Shadow
from gateway.status import info
from store import heartbeats, schema
from store.unit_of_work import Store

BEAT_SECONDS = 5.0
GRACE_SECONDS = 3
DRAIN_SECONDS = 1.5
SWITCH_SECONDS = 0.0005
PROCESS = "gateway"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def assemble(
    settings: Settings,
    store: Store,
    server: Server,
    *,
    internal_key: str,
    tell: Callable[[str], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    tick: Callable[[], float] = time.perf_counter,
) -> Gateway:
    """The parts of a gateway, not started yet."""
    router = Router(
        store,
        server,
        home=settings.home,
        pointer_path=settings.pointer_path,
        remembered_path=remembered_path(settings),
        tell=tell,
        tick=tick,
    )
    keyring = Keyring(store, internal_key, open_access=settings.gateway.open_access, tick=tick)
    capture = Capture(store, limit=settings.gateway.capture_queue, now=now, tell=tell)
    names = Names()
    shadow = Shadow(
        router,
        capture,
        per_minute=settings.gateway.shadow_per_minute,
        timeout_seconds=settings.gateway.timeout_seconds,
        draw=names.draw,
        now=now,
        tick=tick,
    )
    return Gateway(settings, store, server, router, keyring, capture, shadow, now, tick, tell, names)


def build(gateway: Gateway) -> Starlette:
    """The ASGI app: every route behind its policy; starting and ending it starts and ends the parts."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        gateway.capture.start()
        await gateway.router.start()
        beating = asyncio.create_task(beat(gateway))
        try:
            yield
        finally:
            beating.cancel()
            await gateway.shadow.stop()
            await gateway.router.stop()
            left = await asyncio.to_thread(gateway.capture.stop, DRAIN_SECONDS)
            if left:
                gateway.tell(f"{left} captures could not be written before the end")
            await gateway.server.close()

    routes = [Route(entry.path, Guard(gateway, entry), methods=[entry.method]) for entry in ROUTES]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: refuse})


async def refuse(request: Request, error: Exception) -> Response:
    """A path or method that does not exist, as an error object."""
    status = error.status_code if isinstance(error, HTTPException) else 503
    message = f"There is no {request.method} {request.url.path[:80]} here."
    told = Told(status, REQUEST, "not_found" if status == 404 else "method_not_allowed", message)
    return Response(told.body(), status, told.headers())


async def beat(gateway: Gateway) -> None:
    """Show every few seconds that this process lives, and what it serves."""
    started = gateway.now()

    def write(about: Mapping[str, Any]) -> None:
        with gateway.store.write(gateway.now()) as tx:
            heartbeats.beat(tx, PROCESS, PROCESS, os.getpid(), started, about)

    while True:
        try:
            await asyncio.to_thread(write, info(gateway))
        except TrimtabError:
            gateway.meters.count("heartbeat", 503)
        await asyncio.sleep(BEAT_SECONDS)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises Unavailable for a port that is taken or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"The gateway cannot listen on {host}:{port}: {error.strerror}.",
            "End the program that uses the port, or set TRIMTAB_GATEWAY__PORT.",
        ) from None
    return bound


def say(text: str) -> None:
    """Print one readable line, in one piece: threads say theirs at the same moment. Where it cannot be written, as on a
    full disk, the process goes on."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"gateway: {text}\n")
        sys.stderr.flush()


def main() -> int:
    """Run the gateway until SIGTERM or Ctrl-C. Returns the exit code."""
    try:
        settings = config.load()
        key = secrets.internal_key(settings)
        store = Store.open(settings.store_url)
        _require_store(store)
        _refuse_open_network(settings)
        server = connect(settings, key=key)
        bound = listen(settings.gateway.host, settings.gateway.port)
    except TrimtabError as error:
        say(str(error))
        return error.exit_code
    # The writer thread hands the interpreter back after this long: by default (5 ms) chats would wait for it.
    sys.setswitchinterval(SWITCH_SECONDS)
    gateway = assemble(settings, store, server, internal_key=key, tell=say)
    told = f"listening on {settings.gateway_url} ({settings.gateway.server})"
    prepare(build(gateway), lambda: say(told)).run(sockets=[bound])
    store.close()
    say("ended")
    return 0


def prepare(app: Starlette, ready: Callable[[], None]) -> uvicorn.Server:
    """A server for `app`, with uvloop and httptools, that ends cleanly at SIGTERM or Ctrl-C. `ready` is told once."""

    class Served(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn's own raises the signal again at the end, which would turn a clean end into a killed process.
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    settings = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=2048,
    )
    return Served(settings)


def _require_store(store: Store) -> None:
    """Refuse a database with another schema; one that is away now is waited for while the gateway runs."""
    try:
        with store.read():
            pass
    except Unavailable as error:
        say(f"starts without its store: {error}")
        return
    schema.require_current(store)


def _refuse_open_network(settings: Settings) -> None:
    if settings.gateway.open_access and settings.gateway.host not in LOOPBACK:
        raise InvalidInput(
            f"gateway.open_access answers without a key, and {settings.gateway.host} is open to others.",
            "Listen on 127.0.0.1, or turn gateway.open_access off.",
        )
