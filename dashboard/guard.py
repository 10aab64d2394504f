"""Nobody passes without a session: pages, uploads, downloads and the page's socket alike; the rest is a short list."""

from __future__ import annotations

import html
from urllib.parse import quote

from anyio import to_thread
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import TrimtabError
from dashboard.installation import Installation
from dashboard.letterhead import sheet
from store import accounts

OPEN_PATHS = frozenset({"/auth/login", "/_stcore/health", "/favicon.png"})
OPEN_FOLDER = "/static/"
REFUSED = 1008
AGAIN = 5  # seconds


class Guard:
    """ASGI middleware: looks the cookie's session up in the store before anything else answers."""

    def __init__(self, app: ASGIApp, installation: Installation) -> None:
        self.app = app
        self.installation = installation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or is_open(scope):
            return await self.app(scope, receive, send)
        connection = HTTPConnection(scope)
        token = connection.cookies.get(self.installation.cookie, "")
        try:
            known = bool(token) and await to_thread.run_sync(self.knows, token)
        except TrimtabError as error:
            return await self.answer(scope, receive, send, away(error))
        if known:
            return await self.app(scope, receive, send)
        await self.answer(scope, receive, send, turn_away(connection))

    def knows(self, token: str) -> bool:
        """Whether `token` opens a session now."""
        with self.installation.store.read() as tx:
            return accounts.by_token(tx, token, now=self.installation.clock()) is not None

    async def answer(self, scope: Scope, receive: Receive, send: Send, response: Response) -> None:
        """Send `response`, or close the socket before it is accepted."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": REFUSED})
            return
        await response(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Whether the path is served to anybody: the sign-in form, the program files of the page, the health check."""
    path = scope["path"]
    return scope["type"] == "http" and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER))


def turn_away(connection: HTTPConnection) -> Response:
    """To the sign-in form for a person who opens a page; 401 for anything else."""
    page = connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", "")
    if not page:
        return PlainTextResponse("Sign in first.", 401)
    if connection.headers.get("sec-fetch-site") == "cross-site":
        # A strict cookie is not sent with a link from a mail or a chat; opened from here it is.
        return HTMLResponse(sheet("Opening …", "<p>Opening the page …</p>", refresh=0), headers=_FRESH)
    path = connection.scope["path"]
    query = connection.scope.get("query_string", b"").decode("latin-1")
    wanted = quote(path + (f"?{query}" if query else ""), safe="")
    return RedirectResponse("/auth/login" if wanted == "%2F" else f"/auth/login?next={wanted}", 303, _FRESH)


def away(error: TrimtabError) -> Response:
    """What is said while the store does not answer."""
    words = f"<h1>Trimtab cannot read its database</h1><p>{html.escape(error.message)}</p>"
    words += f"<p>{html.escape(error.remedy)}</p><p>This page looks again by itself.</p>"
    return HTMLResponse(sheet("Trimtab", words, refresh=AGAIN), 503, {**_FRESH, "retry-after": str(AGAIN)})


_FRESH = {"cache-control": "no-store"}
