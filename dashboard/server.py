"""Serves the console: Streamlit's application behind the guard, with its own sign-in and no telemetry."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import config
from core.errors import TrimtabError, Unavailable
from core.settings import Settings
from dashboard.installation import Clock, Installation, close_installation, open_installation
from store import heartbeats

SCRIPT = Path(__file__).parent / "app.py"
BEAT_SECONDS = 5.0
STOP_SECONDS = 3
OPTIONS: dict[str, Any] = {
    "global.developmentMode": False,
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    "client.allowedOrigins": [],
    "logger.hideWelcomeMessage": True,
    "runner.magicEnabled": False,
    "server.headless": True,
    "server.showEmailPrompt": False,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.enableXsrfProtection": True,
    "server.enableCORS": True,
    "server.maxUploadSize": 5,
    "server.enableStaticServing": False,
    "server.enableAgentApi": False,
    "server.disconnectedSessionTTL": 60,
    "theme.light.primaryColor": "#0f6b78",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f4f6f8",
    "theme.light.textColor": "#1d2733",
    "theme.light.borderColor": "#d8dfe6",
    "theme.dark.primaryColor": "#4fb3c1",
    "theme.dark.backgroundColor": "#10161c",
    "theme.dark.secondaryBackgroundColor": "#18212a",
    "theme.dark.textColor": "#e4eaf0",
    "theme.dark.borderColor": "#2c3946",
}


def main(*, clock: Clock) -> int:
    """Serve until a signal; returns the exit code, after one plain sentence where something is wrong."""
    try:
        settings = config.load()
        door = bind(settings)
        installation = open_installation(settings, clock)
    except TrimtabError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return error.exit_code
    try:
        with door, beating(installation):
            print(f"dashboard: serving {settings.dashboard_url}", file=sys.stderr, flush=True)
            serve(installation, door)
    finally:
        close_installation()
    return 0


def bind(settings: Settings) -> socket.socket:
    """The listening socket. Raises Unavailable when the port is taken or the address is not this machine's."""
    host, port = settings.dashboard.host, settings.dashboard.port
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        door.listen(128)
    except OSError as error:
        door.close()
        raise Unavailable(
            f"The dashboard cannot listen on {host} port {port}: {error.strerror or error}.",
            "End what uses it, or set TRIMTAB_DASHBOARD__PORT.",
        ) from None
    return door


def serve(installation: Installation, door: socket.socket) -> None:
    """Answer on `door` until SIGINT or SIGTERM."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            application(installation),
            ws="websockets-sansio",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
    # uvicorn raises the signal again once it has ended; by then it has done its work.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[door])


def application(installation: Installation) -> Any:
    """The ASGI application: Streamlit with the guard, the headers, the sign-in and compressed files around it."""
    import streamlit
    from streamlit import config as streamlit_config

    from dashboard.guard import Guard
    from dashboard.headers import CompressedStatic, SecurityHeaders, content_policy
    from dashboard.signin import SignIn

    for name, value in OPTIONS.items():
        streamlit_config.set_option(name, value)
    streamlit_config.set_option("server.port", installation.settings.dashboard.port)
    streamlit_config.set_option("server.address", installation.settings.dashboard.host)
    logging.getLogger("streamlit").setLevel(logging.WARNING)

    files = Path(streamlit.__file__).parent / "static"
    index = (files / "index.html").read_text("utf-8")
    app = streamlit.App(
        SCRIPT,
        routes=SignIn(installation).routes(),
        on_script_error=report,
    )
    compressed = CompressedStatic(Guard(app, installation), files / "static")
    compressed.warm(index)
    return SecurityHeaders(compressed, content_policy(index))


def report(error: Exception) -> bool:
    """Log what went wrong in a page; the person sees a sentence, never a traceback."""
    import streamlit as st

    logging.getLogger("dashboard").error("a page failed", exc_info=error)
    st.error("This page could not be drawn. What went wrong is in the console's log. Reload to try again.", icon="⛔")
    return True


@contextmanager
def beating(installation: Installation) -> Iterator[None]:
    """Show the process's pulse to the others while inside."""
    ended = threading.Event()
    started = installation.clock()
    beater = threading.Thread(target=beat, args=(installation, started, ended), daemon=True)
    beater.start()
    try:
        yield
    finally:
        ended.set()
        beater.join(1)


def beat(installation: Installation, started: datetime, ended: threading.Event) -> None:
    """Record a pulse every few seconds; a store that is away is tried again."""
    while True:
        try:
            with installation.store.write(installation.clock()) as tx:
                info = {"url": installation.settings.dashboard_url}
                heartbeats.beat(tx, f"dashboard-{os.getpid()}", "dashboard", os.getpid(), started, info)
        except TrimtabError:
            logging.getLogger("dashboard").debug("the store does not take a pulse now")
        if ended.wait(BEAT_SECONDS):
            return
