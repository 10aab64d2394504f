"""HTTP towards a model server: one pool of connections, and every failure told in our own words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from core.errors import Unavailable

if TYPE_CHECKING:
    import aiohttp

LONGEST_LINE = 4 * 1024 * 1024


class Away(Unavailable):
    """Nobody could be reached at the server's address, or the connection broke."""


class NotLoaded(Unavailable):
    """The server runs but does not have this version (it was restarted, say); loading it again helps."""


class Refused(Unavailable):
    """The server will not do this as it was asked, now or later."""


class NotOffered(Refused):
    """The server has no such route."""


class Busy(Unavailable):
    """The server has too much to do; `retry_after` is in seconds."""

    def __init__(self, message: str, remedy: str = "", *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message, remedy)


class Upstream:
    """The connections to one server. The pool opens at the first call, in the running event loop."""

    def __init__(self, *, key: str = "", timeout_seconds: float = 120.0) -> None:
        """`timeout_seconds` is the longest silence of the server, not the length of an answer."""
        self._key = key
        self._timeout = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    def post(self, url: str, body: Mapping[str, Any], version: str = "") -> Call:
        """An open answer of status 200, as an async context. `version` makes a 404 mean NotLoaded."""
        return Call(self._open(), "POST", url, body, version, self._timeout)

    async def ask(self, url: str, body: Mapping[str, Any], version: str = "") -> Any:
        """The JSON answer to a POST."""
        async with self.post(url, body, version) as response:
            return await read_json(response)

    async def tell(self, url: str, body: Mapping[str, Any]) -> None:
        """A POST whose answer says nothing but that it was done."""
        async with self.post(url, body) as response:
            await response.read()

    async def get(self, url: str, *, timeout_seconds: float = 5.0) -> Any:
        """The JSON at `url`."""
        async with Call(self._open(), "GET", url, None, "", timeout_seconds) as response:
            return await read_json(response)

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            # No limit here: the gateway itself bounds how many chats are under way.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


class Call:
    """One exchange. Entering gives the response of status 200; anything else raises a kind of Unavailable."""

    def __init__(
        self, session: aiohttp.ClientSession, method: str, url: str, body: Any, version: str, timeout: float
    ) -> None:
        import aiohttp

        self._failures: tuple[type[BaseException], ...] = (aiohttp.ClientError, OSError)
        self._version = version
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        self._context = session.request(
            method,
            url,
            data=data,
            headers={"Content-Type": "application/json"} if data else {},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=timeout),
            allow_redirects=False,
        )

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            response = await self._context.__aenter__()
        except self._failures as error:
            raise _away(error) from error
        if response.status == 200:
            return response
        text = ""
        try:
            text = (await response.content.read(8192)).decode("utf-8", "replace")
        except self._failures:
            pass
        finally:
            response.close()
        raise _tell(response.status, response.headers.get("Retry-After", ""), text, self._version)

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        await self._context.__aexit__(kind, error, trace)
        if isinstance(error, self._failures):
            raise _away(error) from error


async def read_json(response: aiohttp.ClientResponse) -> Any:
    """The body as JSON. Raises Unavailable when it is none."""
    try:
        return json.loads(await response.read())
    except ValueError:
        raise Unavailable("The model server answered something that is not JSON.", "Check its address.") from None


async def read_events(content: aiohttp.StreamReader) -> AsyncIterator[Any]:
    """The JSON of each server-sent event until [DONE]. Raises Unavailable for a line that is none or too long."""
    rest = b""
    async for part in content.iter_any():
        lines = (rest + part).split(b"\n")
        rest = lines.pop()
        if len(rest) > LONGEST_LINE:
            raise Unavailable("The model server sent a line that is too long.", "Check its address.")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            try:
                yield json.loads(data)
            except ValueError:
                raise Unavailable("The model server streamed something that is not JSON.", "Try again.") from None


def _away(error: BaseException) -> Unavailable:
    from aiohttp import ConnectionTimeoutError

    if isinstance(error, TimeoutError) and not isinstance(error, ConnectionTimeoutError):
        return Unavailable("The model server did not answer in time.", "Try again in a few seconds.")
    return Away("The model server does not answer.", "Try again in a few seconds.")


def _tell(status: int, retry_after: str, text: str, version: str) -> Unavailable:
    message = ""
    try:
        told = json.loads(text)
        told = told.get("error", told.get("message", "")) if isinstance(told, dict) else ""
        message = str(told.get("message", "") if isinstance(told, dict) else told)[:300]
    except (ValueError, RecursionError):
        pass
    if status == 404 and version:
        return NotLoaded(f"The model server does not have {version}.", "Try again in a moment.")
    if status == 429:
        wait = int(retry_after) if retry_after.isdigit() and len(retry_after) < 5 else 1
        return Busy("The model server is busy.", "Try again later.", retry_after=wait)
    if status == 404 and not message:
        return NotOffered("The model server has no such route (status 404).", "Check its version and address.")
    if status in (400, 404, 409, 413, 422):
        return Refused(message or f"The model server refuses this (status {status}).", "Change the request.")
    if status in (401, 403):
        return Unavailable("The model server refuses the gateway's key.", "Check the server's key.")
    return Unavailable(message or f"The model server failed (status {status}).", "Try again in a few seconds.")
