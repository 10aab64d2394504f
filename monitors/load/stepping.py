"""Sends the steps of a load probe, within its bounds, and stops at the first sign that people could notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from monitors.load.bend import FACTOR, Step, bend, levels

PROMPT = "Name three colours."
MAX_TOKENS = 16
Send = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a probe may do at most: requests at a time, requests and seconds a step, seconds in all."""

    concurrency: int = 16
    requests: int = 24
    step_seconds: float = 60.0
    seconds: float = 300.0
    factor: float = FACTOR


async def step_up(
    send: Send, bounds: Bounds, *, may_go_on: Callable[[], bool], clock: Callable[[], float] = time.monotonic
) -> tuple[list[Step], str]:
    """Returns the steps made and why it ended there.

    `send()` makes one request and says whether it was answered. `may_go_on()` is asked before each step.
    """
    began, steps, planned = clock(), list[Step](), levels(bounds.concurrency)
    for concurrency in planned:
        left = bounds.seconds - (clock() - began)
        if left <= 0:
            return steps, "its time was used up"
        if not may_go_on():
            return steps, "an alert on latency fires"
        steps.append(await _step(send, concurrency, bounds.requests, min(left, bounds.step_seconds), clock))
        if bend(steps, planned=len(planned), factor=bounds.factor).bent_from is not None:
            return steps, "latency bends"
    return steps, "every step was made"


async def _step(send: Send, concurrency: int, requests: int, seconds: float, clock: Callable[[], float]) -> Step:
    """`concurrency` senders share the step's requests. What is under way at the deadline is broken off and counts as
    failed, because it was slower than the step allows."""
    times, failed, asked = list[float](), 0, 0
    began = clock()

    async def sender() -> None:
        nonlocal failed, asked
        while asked < requests and clock() - began < seconds:
            asked += 1
            sent = clock()
            if await send():
                times.append(1000 * (clock() - sent))
            else:
                failed += 1

    senders = [asyncio.create_task(sender()) for _ in range(concurrency)]
    _, late = await asyncio.wait(senders, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    return Step(concurrency, times, failed + len(late), clock() - began)


async def probe(
    gateway_url: str, key: str, deployment: str, bounds: Bounds, *, may_go_on: Callable[[], bool]
) -> tuple[list[Step], str]:
    """Step up against the live version through the gateway, marked as probe traffic."""
    import aiohttp

    headers = {"Authorization": f"Bearer {key}", "X-Trimtab-Kind": "probe"}
    timeout = aiohttp.ClientTimeout(total=bounds.step_seconds)
    connector = aiohttp.TCPConnector(limit=bounds.concurrency)
    body: dict[str, Any] = {
        "model": deployment,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "seed": 0,
    }
    async with aiohttp.ClientSession(gateway_url, headers=headers, timeout=timeout, connector=connector) as session:

        async def send() -> bool:
            try:
                async with session.post("/v1/chat/completions", json=body) as response:
                    await response.read()
                    return response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                return False

        return await step_up(send, bounds, may_go_on=may_go_on)
