"""How fast a rollback is: from the click to the first token of the earlier version, under load, proved afterwards.

    python bench/rollback.py --rounds 20 --clients 2

Runs against a running installation (gateway, model server, worker) that has served two versions. Bar L4: each under one
second, the proof within five, no request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

import config
from config import secrets
from core.settings import Settings
from store import deployments
from store.unit_of_work import Store

ACTOR = "system:bench"
QUESTION = [{"role": "user", "content": "My parcel has not arrived. What should I do?"}]
PROOF_SECONDS = 20.0
ASK_SECONDS = 0.15


class Load:
    """Clients that ask without a pause until stopped; `failed` counts everything but a whole answer."""

    def __init__(self, session: Any, settings: Settings) -> None:
        self.session, self.settings = session, settings
        self.answered = self.failed = 0
        self.going = True

    async def ask(self) -> None:
        while self.going:
            try:
                version, _, whole = await stream(self.session, self.settings, 16)
                self.answered += whole and bool(version)
                self.failed += not whole
            except Exception as error:
                print(f"a request failed: {type(error).__name__}: {error}", file=sys.stderr)
                self.failed += 1


async def stream(session: Any, settings: Settings, tokens: int) -> tuple[str, float, bool]:
    """(version, time of the first token, whether it ended well) of one streamed chat."""
    body = {"model": settings.deployment, "messages": QUESTION, "max_tokens": tokens, "stream": True}
    first, done = 0.0, False
    async with session.post(f"{settings.gateway_url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {(await response.text())[:200]}")
        version = response.headers["x-trimtab-version"]
        async for line in response.content:
            if line.startswith(b"data: {") and not first and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                first = time.perf_counter()
            done = done or line.startswith(b"data: [DONE]")
    return version, first or time.perf_counter(), done


async def back(store: Store, session: Any, settings: Settings, to: str) -> tuple[float, float]:
    """Roll back to `to`; seconds until its first token, and until its fingerprint was proved."""

    def click() -> str:
        with store.write(datetime.now(UTC)) as tx:
            return deployments.roll_back(tx, settings.deployment, actor=ACTOR, reason="Measured.", to=to)

    began = time.perf_counter()
    uuid = await asyncio.to_thread(click)
    asked: list[asyncio.Task[tuple[str, float, bool]]] = []
    while not (done := [task.result() for task in asked if task.done() and task.result()[0] == to]):
        # A client asks every so often; one that still got the version before is not the first of the new one.
        asked.append(asyncio.create_task(stream(session, settings, 2)))
        await asyncio.sleep(ASK_SECONDS)
    first = min(at for _, at, _ in done)
    await asyncio.gather(*asked)
    while time.perf_counter() - began < PROOF_SECONDS:
        if await asyncio.to_thread(proved, store, uuid):
            return first - began, time.perf_counter() - began
        await asyncio.sleep(0.05)
    return first - began, float("inf")


def proved(store: Store, uuid: str) -> bool:
    with store.read() as tx:
        return uuid not in {row["uuid"] for row in deployments.unverified(tx)}


async def measure(rounds: int, clients: int) -> dict[str, Any]:
    import aiohttp

    settings = config.load()
    store = Store.open(settings.store_url)
    headers = {"Authorization": f"Bearer {secrets.internal_key(settings)}", "X-Trimtab-Kind": "probe"}
    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
        names = [row["version"] for row in deployments.earlier(tx, settings.deployment)]
    if route is None or not names:
        raise SystemExit("This installation has served only one version: promote another first.")
    pair = [names[0], str(route["version"])]
    async with aiohttp.ClientSession(headers=headers) as session:
        load = Load(session, settings)
        tasks = [asyncio.create_task(load.ask()) for _ in range(clients)]
        await asyncio.sleep(2.0)
        times = [await back(store, session, settings, pair[number % 2]) for number in range(rounds)]
        load.going = False
        await asyncio.gather(*tasks)
    store.close()
    first, proof = [a for a, _ in times], [b for _, b in times]
    return {
        "rounds": rounds,
        "clients": clients,
        "first_token_s": {"median": round(statistics.median(first), 3), "max": round(max(first), 3)},
        "proof_s": {"median": round(statistics.median(proof), 3), "max": round(max(proof), 3)},
        "under_one_second": sum(value < 1.0 for value in first),
        "answered": load.answered,
        "failed": load.failed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(measure(given.rounds, given.clients)), indent=2))


if __name__ == "__main__":
    main()
