"""Replays any file's prompts through the gateway as live traffic, at a steady rate."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from config.secrets import internal_key
from core.settings import Settings
from gateway.imports import parse_traffic

AT_ONCE = 8
TRIES, PAUSE_SECONDS = 5, 1.0


async def replay(
    settings: Settings,
    path: Path,
    columns: Mapping[str, str],
    *,
    key: str | None,
    rate: float,
    limit: int,
    max_tokens: int,
    progress: Callable[[float, str], None],
    skip: int = 0,
) -> dict[str, Any]:
    """Send the prompts of `path` after the first `skip`, `limit` at most, `rate` a second, in the file's order.

    Returns {"sent", "answered", "versions": {name: answers}}. A busy gateway (429, 503) is asked again.
    """
    rows = list(itertools.islice(parse_traffic(path, columns), skip, skip + limit))
    headers = {"Authorization": f"Bearer {key or internal_key(settings)}"}
    slots, versions = asyncio.Semaphore(AT_ONCE), dict[str, int]()
    done = 0

    async def ask(http: aiohttp.ClientSession, row: Any) -> None:
        nonlocal done
        body = {
            "model": settings.deployment,
            "messages": list(row.messages),
            "max_tokens": max_tokens,
            "temperature": 0.7,
            **({"user": row.user} if row.user else {}),
        }
        for _ in range(TRIES):
            try:
                async with http.post(
                    f"{settings.gateway_url}/v1/chat/completions", json=body, headers=headers
                ) as reply:
                    if reply.status not in (429, 503):
                        if reply.ok:
                            name = reply.headers.get("x-trimtab-version", "")
                            versions[name] = versions.get(name, 0) + 1
                        break
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(PAUSE_SECONDS)
        done += 1
        progress(done / len(rows), f"{done} of {len(rows)}")

    async def guarded(http: aiohttp.ClientSession, row: Any) -> None:
        async with slots:
            await ask(http, row)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http:
        tasks = []
        for row in rows:
            tasks.append(asyncio.create_task(guarded(http, row)))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*tasks)
    return {"sent": len(rows), "answered": sum(versions.values()), "versions": versions}
