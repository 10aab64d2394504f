"""Bar L4: a rollback from the click to the first token of the earlier version, under load, and its proof afterwards.

    python bench/rollback.py --rounds 20 --clients 2
    python bench/rollback.py --rounds 5 --away

Starts an installation of its own with the prepared chat model and a random adapter of it, so that two versions answer.
Each rollback under one second, the proof within five, no request failed. With --away the database (a private
PostgreSQL) is stopped before each rollback, which `trimtab rollback` then makes through the local pointer: within five
seconds from its start, and entered, audited and proved once the database is back.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from postgres import Postgres
from two_versions import ACTOR, environment, own_settings, proved, serving, wait_until

from config import secrets
from core.settings import Settings
from store import deployments, tables
from store.unit_of_work import Store

ROOT = Path(__file__).resolve().parents[1]
# No two in a row alike, so that only what every chat of a deployment begins with can have been read before.
QUESTIONS = itertools.cycle(
    (
        "My parcel has not arrived. What should I do?",
        "Can I return shoes that I wore outside once?",
        "Which of your rain jackets is the lightest?",
        "How do I change the address of my order?",
        "The voucher from your letter is not accepted.",
    )
)
ASK_SECONDS = 0.15
# More would only measure the queue that they make themselves.
MOST_ASKING = 4


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
    messages = [{"role": "user", "content": next(QUESTIONS)}]
    body = {"model": settings.deployment, "messages": messages, "max_tokens": tokens, "stream": True}
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


async def follow(session: Any, settings: Settings, to: str) -> float:
    """The time of the first token of `to`, asked for by a new client every ASK_SECONDS."""
    asked: list[asyncio.Task[tuple[str, float, bool]]] = []
    while not (done := [task.result() for task in asked if task.done() and task.result()[0] == to]):
        # A client asks every so often; one that still got the version before is not the first of the new one.
        if sum(not task.done() for task in asked) < MOST_ASKING:
            asked.append(asyncio.create_task(stream(session, settings, 2)))
        await asyncio.sleep(ASK_SECONDS)
    await asyncio.gather(*asked)
    return min(at for _, at, _ in done)


async def back(store: Store, session: Any, settings: Settings, to: str) -> tuple[float, float]:
    """Roll back to `to`; seconds until its first token, and until its fingerprint was proved."""

    def click() -> None:
        with store.write(datetime.now(UTC)) as tx:
            deployments.roll_back(tx, settings.deployment, actor=ACTOR, reason="Measured.", to=to)

    began = time.perf_counter()
    await asyncio.to_thread(click)
    first = await follow(session, settings, to)
    await asyncio.to_thread(wait_until, lambda: proved(store), "the proof")
    return first - began, time.perf_counter() - began


async def back_away(store: Store, session: Any, settings: Settings, to: str, database: Postgres) -> tuple[float, float]:
    """The same through the pointer with the database stopped; the second figure runs from the database's return."""
    entered = count_pointed(store)
    await asyncio.to_thread(database.stop)
    argv = [sys.executable, "-m", "trimtab", "rollback", "--reason", "Measured.", "--to", to]
    began = time.perf_counter()
    command = await asyncio.create_subprocess_exec(
        *argv, env=environment(settings), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first = await follow(session, settings, to)
    if await command.wait() != 0:
        raise SystemExit("trimtab rollback failed.")
    await asyncio.to_thread(database.start)
    returned = time.perf_counter()
    await asyncio.to_thread(
        wait_until, lambda: count_pointed(store) == entered + 1 and proved(store), "the entry and its proof"
    )
    return first - began, time.perf_counter() - returned


def count_pointed(store: Store) -> int:
    """Rollbacks by the pointer in the audit chain."""
    pointed = tables.audit_events.c.kind == "deployment.pointed"
    with store.read() as tx:
        return int(tx.scalar(sa.select(sa.func.count()).where(pointed)))


@asynccontextmanager
async def loaded(settings: Settings, clients: int) -> AsyncIterator[tuple[Any, Load]]:
    """A session, and clients that ask meanwhile."""
    import aiohttp

    headers = {"Authorization": f"Bearer {secrets.internal_key(settings)}", "X-Trimtab-Kind": "probe"}
    async with aiohttp.ClientSession(headers=headers) as session:
        load = Load(session, settings)
        tasks = [asyncio.create_task(load.ask()) for _ in range(clients)]
        await asyncio.sleep(2.0)
        yield session, load
        load.going = False
        await asyncio.gather(*tasks)


async def measure(
    store: Store, settings: Settings, rounds: int, clients: int, database: Postgres | None
) -> dict[str, Any]:
    """Roll back and forth between the two versions that have served."""
    with store.read() as tx:
        route = deployments.current(tx, settings.deployment)
        names = [row["version"] for row in deployments.earlier(tx, settings.deployment)]
    assert route is not None
    pair = [names[0], str(route["version"])]
    times = []
    async with loaded(settings, clients) as (session, load):
        for number in range(rounds):
            to = pair[number % 2]
            if database is None:
                times.append(await back(store, session, settings, to))
            else:
                times.append(await back_away(store, session, settings, to, database))
            print(f"{to}: first token {times[-1][0]:.2f} s, proof {times[-1][1]:.2f} s", file=sys.stderr)
    first, proof = [a for a, _ in times], [b for _, b in times]
    bar = 1.0 if database is None else 5.0
    return {
        "rounds": rounds,
        "clients": clients,
        "database": "up" if database is None else "down",
        "first_token_s": {"median": round(statistics.median(first), 3), "max": round(max(first), 3)},
        "proof_s": {"median": round(statistics.median(proof), 3), "max": round(max(proof), 3)},
        "within_the_bar": sum(value < bar for value in first),
        "answered": load.answered,
        "failed": load.failed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--away", action="store_true", help="with the database stopped at each rollback")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-rollback-") as folder:
        database = Postgres(Path(folder) / "database") if given.away else None
        try:
            settings = own_settings(Path(folder) / "home", database.start() if database else "")
            with serving(settings) as store:
                told = asyncio.run(measure(store, settings, given.rounds, given.clients, database))
        finally:
            if database:
                database.stop()
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
