"""Signing in and out: a form outside the pages, so that the session's key is a cookie that no script can read."""

from __future__ import annotations

import html
from urllib.parse import parse_qs, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from core.errors import TrimtabError
from dashboard.installation import Installation
from dashboard.letterhead import sheet
from store import accounts

LONGEST_FORM = 4096
AT_ONCE, IN_LINE = 2, 20


class SignIn:
    """The routes /auth/login and /auth/logout."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        # The password hash is slow on purpose: many guesses at once must not starve the pages.
        self.limiter: CapacityLimiter | None = None

    def routes(self) -> list[Route]:
        """The routes to serve beside the pages."""
        return [
            Route("/auth/login", self.show, methods=["GET"]),
            Route("/auth/login", self.enter, methods=["POST"]),
            Route("/auth/logout", self.leave, methods=["GET", "POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form."""
        return self.form(local_path(request.query_params.get("next", "")))

    async def enter(self, request: Request) -> Response:
        """Open a session, or show the form again with the reason."""
        if not same_site(request):
            return PlainTextResponse("This form can only be sent from the console itself.", 403)
        fields = await read_form(request)
        if fields is None:
            return PlainTextResponse("The form is too large.", 413)
        wanted = local_path(fields.get("next", ""))
        self.limiter = self.limiter or CapacityLimiter(AT_ONCE)
        if self.limiter.statistics().tasks_waiting >= IN_LINE:
            return PlainTextResponse("Too many people sign in at once.", 429, {"retry-after": "2"})
        name, password = fields.get("name", ""), fields.get("password", "")
        try:
            token = await to_thread.run_sync(self.open_session, name, password, limiter=self.limiter)
        except TrimtabError as error:
            status = 401 if isinstance(error, accounts.SignInRefused) else 503
            return self.form(wanted, name=name, wrong=str(error), status=status)
        await to_thread.run_sync(self.close_session, request.cookies.get(self.installation.cookie, ""))
        answer = RedirectResponse(wanted, 303, {"cache-control": "no-store"})
        answer.set_cookie(
            self.installation.cookie,
            token,
            max_age=int(self.installation.settings.dashboard.session_hours * 3600),
            httponly=True,
            samesite="strict",
            secure=self.installation.settings.dashboard.secure_cookie,
        )
        return answer

    async def leave(self, request: Request) -> Response:
        """End the session of the cookie. A link elsewhere cannot: the strict cookie does not come with it."""
        token = request.cookies.get(self.installation.cookie, "")
        answer = RedirectResponse("/auth/login", 303, {"cache-control": "no-store"})
        if token and same_site(request):
            try:
                await to_thread.run_sync(self.close_session, token)
            except TrimtabError as error:
                return PlainTextResponse(f"You are still signed in. {error}", 503)
            answer.delete_cookie(self.installation.cookie, httponly=True, samesite="strict")
        return answer

    def open_session(self, name: str, password: str) -> str:
        """The token of a new session. Raises SignInRefused, or Unavailable without a store."""
        now, hours = self.installation.clock(), self.installation.settings.dashboard.session_hours
        return accounts.sign_in(self.installation.store, name, password, now=now, hours=hours)

    def close_session(self, token: str) -> None:
        """End the session of `token`, if there is one."""
        if token:
            with self.installation.store.write(self.installation.clock()) as tx:
                accounts.end_session(tx, token)

    def form(self, wanted: str, *, name: str = "", wrong: str = "", status: int = 200) -> Response:
        """The sign-in form as a page."""
        demo = self.installation.settings.dashboard.demo
        parts = [
            "<h1>Trimtab</h1><p>Sign in to the console.</p>",
            '<p class="demo">This is a demonstration. Its sign-ins were printed where it was started.</p>'
            if demo
            else "",
            f'<p class="wrong" role="alert">{html.escape(wrong)}</p>' if wrong else "",
            '<form method="post" action="/auth/login">',
            f'<input type="hidden" name="next" value="{html.escape(wanted)}">',
            '<label for="name">Name</label>',
            '<input id="name" name="name" autocomplete="username" autocapitalize="none" required maxlength="80" '
            f'value="{html.escape(name[:80])}"{"" if name else " autofocus"}>',
            '<label for="password">Password</label>',
            '<input id="password" name="password" type="password" autocomplete="current-password" required '
            f'maxlength="256"{" autofocus" if name else ""}>',
            '<button type="submit">Sign in</button></form>',
        ]
        page = sheet("Sign in · Trimtab", "".join(parts))
        return HTMLResponse(page, status, {"cache-control": "no-store"})


def same_site(request: Request) -> bool:
    """Whether a browser says the request comes from the console's own pages, or no browser sent it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def local_path(wanted: str) -> str:
    """`wanted` if it is a path of this console, else the first page."""
    parts = urlsplit(wanted)
    plain = wanted.startswith("/") and not wanted.startswith(("//", "/\\", "/auth/"))
    clean = not any(ord(sign) < 33 or sign == "\\" for sign in wanted)
    return wanted if plain and clean and not parts.scheme and not parts.netloc and len(wanted) < 1000 else "/"


async def read_form(request: Request) -> dict[str, str] | None:
    """The fields of a small form, or None for a large one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}
