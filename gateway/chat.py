"""POST /v1/chat/completions: routes, passes the answer on piece by piece, and hands what was said to the capture."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from core.errors import Forbidden, NotFound, Unavailable
from core.ports import ChatPiece, ChatRequest
from core.types import Inference, TrafficKind
from gateway.auth import Caller
from gateway.context import Gateway
from gateway.draw import unit_of
from gateway.errors import Invalid, tell
from gateway.openai import ChatCall, Events, read_call, write_answer
from gateway.upstream import Busy
from gateway.web import Web

MOST_ANSWERING = 512
CLIENT_LEFT = 499


@dataclass(slots=True)
class Exchange:
    """An answer being given: what was asked, by which version it is answered, and what was said so far."""

    call: ChatCall
    deployment: str
    version: str
    kind: TrafficKind
    at: datetime
    begun: float
    uuid: str
    owner: str
    conversation: str
    texts: list[str] = field(default_factory=list)
    first: float | None = None
    ended: float = 0.0
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    compute_ms: float = 0.0
    status: int = 200
    error: str = ""

    def take(self, piece: ChatPiece, tick: float) -> None:
        """Note a piece of the answer."""
        if self.first is None:
            self.first = tick
        if piece.text:
            self.texts.append(piece.text)
            self.completion_tokens += 1
        if piece.finish_reason:
            self.finish_reason = piece.finish_reason
            self.prompt_tokens, self.completion_tokens = piece.prompt_tokens, piece.completion_tokens
            self.compute_ms = piece.compute_ms

    def request(self) -> ChatRequest:
        """What the server is asked."""
        call = self.call
        return ChatRequest(
            version=self.version,
            messages=call.messages,
            max_tokens=call.max_tokens,
            temperature=call.temperature,
            top_p=call.top_p,
            stop=call.stop,
            seed=call.seed,
            extra={**call.extra, "stream": call.stream},
        )

    def row(self) -> Inference:
        """What is captured of it."""
        return Inference(
            uuid=self.uuid,
            at=self.at,
            deployment=self.deployment,
            version=self.version,
            kind=self.kind,
            messages=self.call.messages,
            prompt=self.call.prompt,
            response="".join(self.texts),
            status=self.status,
            error=self.error,
            finish_reason=self.finish_reason,
            streamed=self.call.stream,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            latency_ms=(self.ended - self.begun) * 1000,
            first_token_ms=(self.first - self.begun) * 1000 if self.first and self.call.stream else None,
            compute_ms=self.compute_ms or None,
            conversation=self.conversation,
            user=self.call.user,
            labels=self.call.labels,
        )


async def chat(gateway: Gateway, web: Web, caller: Caller) -> None:
    """Answer a chat. It is captured whatever becomes of it, as far as it came."""
    if gateway.answering >= MOST_ANSWERING:
        raise Busy("The gateway has too many chats under way.", "Try again in a second.")
    begun, settings = gateway.tick(), gateway.settings.gateway
    gateway.answering += 1
    try:
        call = read_call(
            await web.read_object(settings.max_body_bytes),
            default_tokens=settings.max_tokens,
            most_tokens=settings.max_tokens_limit,
            extras=getattr(gateway.server, "extras", frozenset()),
        )
        kind = _kind(web, caller)
        uuid, owner, conversation = gateway.names.draw(), f"{caller.name}\0{call.user}", call.conversation
        if kind == "live" and not conversation:
            # An exchange that opens a conversation gives it its name.
            conversation = gateway.conversations.find(owner, call.messages) or uuid
        unit = unit_of(call.user, conversation, uuid) if kind == "live" else ""
        deployment, version = _target(gateway, call, caller, unit)
        exchange = Exchange(call, deployment, version, kind, gateway.now(), begun, uuid, owner, conversation)
        await _answer(gateway, web, exchange)
    finally:
        gateway.answering -= 1


async def _answer(gateway: Gateway, web: Web, exchange: Exchange) -> None:
    task = asyncio.current_task()
    assert task is not None
    left = asyncio.ensure_future(web.left())
    # The server says nothing when a client hangs up: only its receive does. A waiting answer is then broken off.
    left.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
    limit = gateway.settings.gateway.timeout_seconds
    try:
        async with asyncio.timeout(limit):
            await (_stream if exchange.call.stream else _whole)(gateway, web, exchange, left)
    except asyncio.CancelledError:
        if not left.done() or left.cancelled():
            exchange.status, exchange.error = 503, "gateway stopped"
            raise
        task.uncancel()
        exchange.status, exchange.error = CLIENT_LEFT, "client left"
        web.status = web.status or CLIENT_LEFT
    except Exception as error:
        left.cancel()
        shown = (
            Unavailable(f"No answer within {limit:g} s.", "Try again.") if isinstance(error, TimeoutError) else error
        )
        told = tell(shown)
        exchange.status, exchange.error = told.status, told.message
        if not web.started:
            raise shown from None
        await web.send(b"data: " + told.body() + b"\n\n", last=True)
    finally:
        left.cancel()
        exchange.ended = gateway.tick()
        gateway.capture.keep(exchange.row())
        if exchange.status == 200:
            gateway.meters.answer.observe(exchange.ended - exchange.begun)
            if exchange.call.stream and exchange.first:
                gateway.meters.first_token.observe(exchange.first - exchange.begun)
            if exchange.kind == "live":
                gateway.shadow.offer(exchange, gateway.answering)


async def _whole(gateway: Gateway, web: Web, exchange: Exchange, left: asyncio.Future[None]) -> None:
    async with aclosing(gateway.router.answer(exchange.request())) as pieces:
        async for piece in pieces:
            exchange.take(piece, gateway.tick())
    created, compute = int(exchange.at.timestamp()), exchange.compute_ms if exchange.kind != "live" else 0.0
    body = write_answer(_identity(exchange), created, exchange.call.model, exchange.row(), compute_ms=compute)
    left.cancel()
    _remember(gateway, exchange)
    await web.reply(200, body, {"content-type": "application/json", **_headers(exchange)})


async def _stream(gateway: Gateway, web: Web, exchange: Exchange, left: asyncio.Future[None]) -> None:
    call = exchange.call
    events = Events(
        _identity(exchange),
        int(exchange.at.timestamp()),
        call.model,
        exchange.version,
        include_usage=call.include_usage,
    )
    async with aclosing(gateway.router.answer(exchange.request())) as pieces:
        async for piece in pieces:
            exchange.take(piece, gateway.tick())
            part = events.text(piece.text) if piece.text else b""
            if not web.started:
                await web.begin_events(_headers(exchange))
                part = events.opening() + part
            if part:
                await web.send(part)
    left.cancel()
    _remember(gateway, exchange)
    await web.send(
        events.ending(exchange.finish_reason or "stop", exchange.prompt_tokens, exchange.completion_tokens), last=True
    )


def _remember(gateway: Gateway, exchange: Exchange) -> None:
    """Before the client has the whole answer, and may go on with it."""
    if exchange.kind == "live":
        messages, answer = exchange.call.messages, "".join(exchange.texts)
        gateway.conversations.keep(exchange.owner, messages, answer, exchange.conversation)


def _identity(exchange: Exchange) -> str:
    return f"chatcmpl-{exchange.uuid}"


def _headers(exchange: Exchange) -> dict[str, str]:
    return {"x-trimtab-inference": exchange.uuid, "x-trimtab-version": exchange.version}


def _kind(web: Web, caller: Caller) -> TrafficKind:
    match web.header("x-trimtab-kind"):
        case "" | "live":
            return "live"
        case "probe" | "shadow" as kind if caller.internal:
            return kind
        case "probe" | "shadow":
            raise Forbidden("Only Trimtab's own processes mark traffic.", "Leave X-Trimtab-Kind out.")
        case _:
            raise Invalid("X-Trimtab-Kind is not one of probe and shadow.", param="X-Trimtab-Kind")


def _target(gateway: Gateway, call: ChatCall, caller: Caller, unit: str) -> tuple[str, str]:
    deployment, marked, version = call.model.partition("@")
    try:
        if marked and not caller.internal:
            raise NotFound("")
        served = gateway.router.resolve(deployment, {} if marked else call.labels)
    except NotFound:
        raise Invalid(
            f"The model {call.model[:80]} does not exist.",
            "Ask GET /v1/models for those there are.",
            param="model",
            code="model_not_found",
            status=404,
        ) from None
    if marked:
        return deployment, version
    # Probes look at what serves: a canary is for clients.
    return served.deployment, gateway.router.pick(served, unit) if unit else served.version
