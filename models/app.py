"""The local model server: one process, one decoding thread; OpenAI-style chat, load, unload, score and fingerprint.

Every route but GET /health needs the shared token. The routes and their answers:

    GET  /health               {status, base, versions, queue, running, tokens_per_second, detail}
    GET  /v1/models            OpenAI list of the base and the loaded versions
    POST /v1/chat/completions  OpenAI; "model" is "base" or a loaded version; the field "trimtab" holds the timing
    POST /load                 {name, path} -> {name, digest, status}; other content under a used name: 409
    POST /unload               {name} -> {name, status}, after the answers that use it
    POST /score                {name, items: [{messages, completion}]} -> [{logprob, tokens}]
    POST /fingerprint          {name} -> {digest, tokens, logprobs, place, files}
    POST /experts              {name} -> {load}: core.ports.ExpertLoad of its newest answers, null without experts
"""

import asyncio
import contextlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as WebRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from core.errors import InvalidInput, TrimtabError
from models.engine import Engine
from models.protocol import (
    chunk,
    encode,
    error_object,
    read_items,
    read_messages,
    read_name,
    read_sampling,
    timing_object,
    usage,
    whole,
)
from models.requests import BASE, Piece, Request

BODY_LIMIT = 4 * 1024 * 1024
RETRY_SECONDS = "1"

Handler = Callable[[WebRequest], Awaitable[Response]]
T = TypeVar("T")


class Server:
    """The routes over one engine. `now` gives Unix seconds, `entropy` a seed for requests that name none."""

    def __init__(
        self, engine: Engine, token: str, now: Callable[[], float], entropy: Callable[[], int], root: Path | None = None
    ) -> None:
        self.engine, self.token, self.now, self.entropy = engine, token.encode(), now, entropy
        self.root = root.expanduser().resolve() if root else None

    def guard(self, handler: Handler) -> Handler:
        """The handler behind the token check, with expected errors as OpenAI-style objects."""

        async def guarded(request: WebRequest) -> Response:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, b"Bearer " + self.token):
                return failure(401, "The model server's token is missing or wrong.", "invalid_api_key")
            try:
                return await handler(request)
            except TrimtabError as error:
                status, body = error_object(error)
                return JSONResponse(body, status, {"Retry-After": RETRY_SECONDS} if status == 503 else None)
            except BodyTooLarge:
                return failure(413, f"The request is larger than {BODY_LIMIT >> 20} MiB.", "request_too_large")

        return guarded

    async def health(self, _request: WebRequest) -> Response:
        engine = self.engine
        return JSONResponse(
            {
                "status": engine.status,
                "base": engine.base.digest if engine.base else "",
                "versions": engine.names(),
                "queue": len(engine.waiting),
                "running": engine.running(),
                "tokens_per_second": round(engine.tokens_per_second(), 2),
                "detail": engine.detail,
            }
        )

    async def models(self, _request: WebRequest) -> Response:
        names = [BASE, *self.engine.names()]
        entries = [{"id": name, "object": "model", "created": 0, "owned_by": "trimtab"} for name in names]
        return JSONResponse({"object": "list", "data": entries})

    async def load(self, request: WebRequest) -> Response:
        body = await read_body(request)
        name, path = read_name(body), Path(read_name(body, "path")).expanduser()
        if self.root and not path.resolve().is_relative_to(self.root):
            raise InvalidInput(
                f"{path} is outside the folder that adapters are loaded from.", f"Put it under {self.root}."
            )
        digest = await wait(self.engine.load(name, path))
        return JSONResponse({"name": name, "digest": digest, "status": "loaded"})

    async def unload(self, request: WebRequest) -> Response:
        name = read_name(await read_body(request))
        if name == BASE:
            raise InvalidInput("The base model cannot be unloaded.", "Name a loaded version.")
        gone = await wait(self.engine.unload(name))
        return JSONResponse({"name": name, "status": "unloaded" if gone else "absent"})

    async def score(self, request: WebRequest) -> Response:
        body = await read_body(request)
        base = self.engine.ready()
        items = await asyncio.to_thread(read_items, body, base)
        scores = await wait(self.engine.score(read_name(body), items))
        return JSONResponse([{"logprob": score.logprob, "tokens": score.tokens} for score in scores])

    async def fingerprint(self, request: WebRequest) -> Response:
        name = read_name(await read_body(request))
        found = await wait(self.engine.fingerprint(name))
        return JSONResponse(asdict(found))

    async def experts(self, request: WebRequest) -> Response:
        load = await wait(self.engine.experts(read_name(await read_body(request))))
        return JSONResponse({"load": asdict(load) if load is not None else None})

    async def chat(self, request: WebRequest) -> Response:
        body = await read_body(request)
        base = self.engine.ready()
        model = read_name(body, "model")
        prompt = encode(base, read_messages(body.get("messages")))
        sampling = read_sampling(body, base, len(prompt), self.entropy())
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece] = asyncio.Queue()

        def emit(piece: Piece) -> None:
            # The loop may be closed when the process ends while an answer is still being computed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        asked = Request(model, prompt, sampling, emit)
        self.engine.submit(asked)
        identity, created = f"chatcmpl-{secrets.token_hex(12)}", int(self.now())
        if body.get("stream"):
            options = body.get("stream_options")
            counted = isinstance(options, dict) and bool(options.get("include_usage"))
            return StreamingResponse(
                stream(asked, pieces, identity, created, counted),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        return await self.collect(request, asked, pieces, identity, created)

    async def collect(
        self, web: WebRequest, asked: Request, pieces: asyncio.Queue[Piece], identity: str, created: int
    ) -> Response:
        """The whole answer; a caller that hangs up frees its row."""
        gone = asyncio.ensure_future(disconnected(web))
        text = ""
        try:
            while True:
                getter = asyncio.ensure_future(pieces.get())
                await asyncio.wait({getter, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not getter.done():
                    getter.cancel()
                    return Response(status_code=499)
                piece = getter.result()
                text += piece.text
                if piece.finish == "error":
                    return failure(503, piece.error or "The answer failed.", "unavailable", RETRY_SECONDS)
                if piece.finish:
                    answer = whole(identity, created, asked.version, text, piece.finish)
                    answer["usage"] = usage(len(asked.prompt), piece.tokens)
                    answer["trimtab"] = timing_object(piece.timing)
                    return JSONResponse(answer)
        finally:
            gone.cancel()
            asked.cancel()


class BodyTooLarge(Exception):
    """The request body passed the limit."""


def failure(status: int, message: str, code: str, retry: str | None = None) -> JSONResponse:
    """An OpenAI-style error answer."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return JSONResponse(body, status, {"Retry-After": retry} if retry else None)


async def explain(_request: WebRequest, error: Exception) -> JSONResponse:
    """The answer to a wrong path or method, or to a defect of ours, which it does not describe."""
    if isinstance(error, HTTPException):
        return failure(error.status_code, f"{error.detail}.", "unknown_route")
    return failure(500, f"The model server failed ({type(error).__name__}).", "internal_error")


async def read_body(request: WebRequest) -> dict[str, Any]:
    """The JSON object of a request. Raises BodyTooLarge, InvalidInput."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > BODY_LIMIT:
            raise BodyTooLarge
    try:
        value = json.loads(data)
        json.dumps(value, ensure_ascii=False).encode()  # refuses lone surrogates, which no tokenizer takes
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The request is not valid JSON in UTF-8.", "Send a JSON object.") from error
    if not isinstance(value, dict):
        raise InvalidInput("The request is not a JSON object.", "Send a JSON object.")
    return value


async def disconnected(request: WebRequest) -> None:
    """Returns when the caller has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def wait(future: "Future[T]") -> T:
    return await asyncio.wrap_future(future)


async def stream(
    asked: Request, pieces: asyncio.Queue[Piece], identity: str, created: int, counted: bool
) -> AsyncIterator[bytes]:
    """Server-sent events of an answer; closing the iterator early frees the row."""

    def event(value: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"

    try:
        yield event(chunk(identity, created, asked.version, {"role": "assistant", "content": ""}))
        while True:
            piece = await pieces.get()
            if piece.text:
                yield event(chunk(identity, created, asked.version, {"content": piece.text}))
            if piece.finish == "error":
                yield event(
                    {"error": {"message": piece.error, "type": "server_error", "param": None, "code": "unavailable"}}
                )
                return
            if piece.finish:
                last = chunk(identity, created, asked.version, {}, piece.finish)
                last["trimtab"] = timing_object(piece.timing)
                yield event(last)
                if counted:
                    tail = chunk(identity, created, asked.version, None)
                    tail["usage"] = usage(len(asked.prompt), piece.tokens)
                    yield event(tail)
                yield b"data: [DONE]\n\n"
                return
    finally:
        asked.cancel()


def build_app(
    engine: Engine,
    token: str,
    *,
    now: Callable[[], float] = time.time,
    entropy: Callable[[], int] = lambda: secrets.randbits(63),
    root: Path | None = None,
) -> Starlette:
    """The application over an engine, which starts and stops with it. Raises InvalidInput without a token."""
    if not token:
        raise InvalidInput("The model server has no token.", "Start it with the installation's internal key.")
    server = Server(engine, token, now, entropy, root)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        engine.start()
        yield
        await asyncio.to_thread(engine.stop)

    guarded: list[tuple[str, str, Handler]] = [
        ("GET", "/v1/models", server.models),
        ("POST", "/v1/chat/completions", server.chat),
        ("POST", "/load", server.load),
        ("POST", "/unload", server.unload),
        ("POST", "/score", server.score),
        ("POST", "/fingerprint", server.fingerprint),
        ("POST", "/experts", server.experts),
    ]
    routes = [Route(path, server.guard(handler), methods=[method]) for method, path, handler in guarded]
    return Starlette(
        routes=[Route("/health", server.health, methods=["GET"]), *routes],
        lifespan=lifespan,
        exception_handlers={HTTPException: explain, Exception: explain},
    )
