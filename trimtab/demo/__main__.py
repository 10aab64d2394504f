"""`python -m trimtab.demo`: the simulated customers of a demonstration, from its calm start to the rollback."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from datetime import UTC, datetime
from random import Random

import aiohttp

from config import load
from core.errors import InvalidInput, TrimtabError
from core.settings import Settings
from store.unit_of_work import Store
from trimtab.demo import corpus, scenario
from trimtab.demo.autopilot import approve_waiting
from trimtab.demo.customers import RULE, react
from trimtab.demo.home import SEED, customers_key_path
from trimtab.demo.phases import due_for_damage, pause_seconds, phase
from trimtab.demo.shop import Shop

AT_ONCE = 4
STORY_SECONDS = 2.0


class Customers:
    """Asks questions at the pace of the phase, a few at once, and reacts to the answers."""

    def __init__(self, settings: Settings, store: Store, shop: Shop, *, manual: bool) -> None:
        self._settings, self._store, self._shop, self._manual = settings, store, shop, manual
        self._random = Random(SEED + 3)
        self._phase = "calm"
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._busy: set[asyncio.Task[None]] = set()
        self._count: Counter[str] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        follow = asyncio.create_task(self._follow())
        try:
            while True:
                await self._slots.acquire()
                task = asyncio.create_task(self._visit())
                self._busy.add(task)
                task.add_done_callback(self._busy.discard)
                await asyncio.sleep(pause_seconds(self._phase))  # type: ignore[arg-type]
        finally:
            follow.cancel()

    async def _visit(self) -> None:
        try:
            calm = self._phase == "calm"
            question = corpus.everyday(self._random) if calm else corpus.after_recall(self._random)
            user = f"customer-{self._random.randrange(100_000)}"
            answer = await self._shop.ask(question, user=user, channel=self._random.choice(("web", "app", "mail")))
            self._count["answered" if answer else "unanswered"] += 1
            if answer is None:
                await asyncio.sleep(1)
                return
            reaction = react(question, answer.text, self._random)
            if reaction is not None:
                await self._shop.rate(answer, reaction, contributor=user)
        finally:
            self._slots.release()

    async def _follow(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._look)
            except TrimtabError as error:
                print(f"waiting: {error.message}", flush=True)
            await asyncio.sleep(STORY_SECONDS)

    def _look(self) -> None:
        now = datetime.now(UTC)
        story = scenario.read(self._store, self._settings)
        found = phase(story)
        if found != self._phase:
            print(f"the story goes on: {found} ({dict(self._count)})", flush=True)
            self._phase = found
        if due_for_damage(story):
            name = scenario.release_damaged(self._store, self._settings, now=now)
            print(f"{name} is released past the gate, damaged on purpose: watch the alarms", flush=True)
        if not self._manual:
            for line in approve_waiting(self._store, now=now):
                print(line, flush=True)


async def main(manual: bool) -> None:
    """Wait for the gateway, then let the customers come."""
    settings = load()
    if not settings.dashboard.demo:
        raise InvalidInput("This is not a demonstration.", "Start it with: trimtab up --demo.")
    store = Store.open(settings.store_url)
    key = customers_key_path(settings).read_text().strip()
    print(RULE, flush=True)
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, this.cancel)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http:
        shop = Shop(http, settings.gateway_url, key, settings.deployment)
        try:
            while await shop.ask(corpus.everyday(Random(SEED)), user="door", channel="web") is None:
                await asyncio.sleep(1)
            await Customers(settings, store, shop, manual=manual).run()
        except asyncio.CancelledError:
            print("the customers went home", flush=True)
    store.close()


if __name__ == "__main__":
    try:
        asyncio.run(main("--manual" in sys.argv[1:]))
    except TrimtabError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
