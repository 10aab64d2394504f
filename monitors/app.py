"""Puts the monitors' process together: the clock, the runs, the notices, the commands and the pulse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import config
from config import secrets
from core.errors import TrimtabError
from core.ports import ProbePrompt
from core.settings import Settings
from monitors import cycle, defaults, delivery, orders
from monitors.effects import Effects
from monitors.embedding import Embedder
from monitors.experts import ask_experts
from monitors.judge.client import judge
from monitors.metrics.evidently_report import write_report
from monitors.probes.runner import Record, ask
from monitors.ranking import ask_scores
from monitors.schedule import Schedule
from monitors.turns import repeat
from store import heartbeats, schema
from store.soundness import find_damage
from store.unit_of_work import Store

PROCESS = "monitors"
BEAT_SECONDS = 5.0
COMMAND_SECONDS = 1.0
# The whole file is read: daily is enough, unless it is damaged, and a process that starts again and again does not.
CHECK_SECONDS, CHECK_EVERY = 300.0, timedelta(days=1)


class App:
    """The process on an open store. `clock` gives the time, `tell` prints one line an event."""

    def __init__(
        self, settings: Settings, store: Store, key: str, *, clock: Callable[[], datetime], tell: Callable[[str], None]
    ) -> None:
        self.settings, self.store, self.clock, self.tell = settings, store, clock, tell
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.ending = asyncio.Event()
        self.started = clock()
        self.effects = Effects(
            store,
            settings,
            clock,
            Embedder(store, lambda: _open_encoder(settings), clock),
            _asker(settings, key),
            lambda alert, then, now: write_report(settings.home / "evidence", alert, then, now),
            self.name,
            lambda items, **how: ask_scores(items, gateway_url=settings.gateway_url, key=key, **how),
            lambda questions, **how: judge(questions, settings=settings.judge, **how),
            lambda **how: ask_experts(gateway_url=settings.gateway_url, key=key, **how),
        )
        self.schedule = Schedule(store, self._run, clock)
        self.last_run = self.trouble = ""
        self.check_due = self.started + timedelta(seconds=CHECK_SECONDS)
        self.said: dict[str, str] = {}
        self.sending: dict[str, asyncio.Task[int]] = {}

    async def run(self) -> None:
        """Run until `ending` is set."""
        with self.store.write(self.clock()) as tx:
            made = defaults.ensure(tx)
        if made:
            self.tell(f"created {made} monitors")
        await asyncio.to_thread(self.schedule.start)
        tick = self.settings.monitors.tick_seconds
        loops = [
            asyncio.create_task(repeat(work, seconds, tell=self.tell))
            for work, seconds in (
                (self._refresh, tick),
                (self._deliver, tick),
                (lambda: self._obey(orders.SHORT), COMMAND_SECONDS),
                (lambda: self._obey(orders.LONG), COMMAND_SECONDS),
                (self._beat, BEAT_SECONDS),
                (self._check, CHECK_SECONDS),
            )
        ]
        try:
            await self.ending.wait()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            self.schedule.stop()

    def _run(self, name: str) -> None:
        """One call of the clock. Trouble with the store is told, not raised: the clock goes on. What goes wrong as it
        did at the look before is not said again."""
        try:
            outcome = cycle.run_due(name, self.effects)
        except TrimtabError as error:
            said = f"{name}: waiting: {error}"
        else:
            if outcome is None:
                return
            self.last_run = name
            if outcome.fired:
                self.tell(f"{name}: alert {', '.join(outcome.fired)} fires")
            said = "" if outcome.state == "done" else f"{name}: {outcome.state}: {outcome.message}"
        if said and said != self.said.get(name):
            self.tell(said)
        self.said[name] = said

    async def _refresh(self) -> None:
        await asyncio.to_thread(self.schedule.refresh)

    async def _deliver(self) -> str:
        sent = await delivery.deliver(self.store, self.settings, self.clock, self.sending)
        return f"sent {sent} notice{'s' if sent > 1 else ''}" if sent else ""

    async def _obey(self, kinds: Collection[str]) -> str:
        return await orders.obey(self.effects, self.name, kinds, ending=self.ending.is_set)

    async def _check(self) -> str:
        if self.clock() < self.check_due:
            return ""
        self.trouble = await asyncio.to_thread(find_damage, self.settings.store_url, leave=self.ending.is_set)
        self.check_due = self.clock() + (timedelta(0) if self.trouble else CHECK_EVERY)
        return self.trouble

    async def _beat(self) -> None:
        def beat() -> None:
            info = {"worker": self.name, "last_run": self.last_run, "trouble": self.trouble}
            with self.store.write(self.clock()) as tx:
                heartbeats.beat(tx, PROCESS, PROCESS, os.getpid(), self.started, info)

        await asyncio.to_thread(beat)


def main() -> int:
    """Run the monitors until SIGTERM or Ctrl-C. Returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="monitors: %(message)s", stream=sys.stderr)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    try:
        settings = config.load()
        store = Store.open(settings.store_url)
        schema.require_current(store)
        key = secrets.internal_key(settings)
    except TrimtabError as error:
        say(str(error))
        return error.exit_code
    try:
        asyncio.run(serve(settings, store, key))
    except TrimtabError as error:
        say(str(error))
        return error.exit_code
    say("ended")
    # A run that is still computing in a thread must not hold up the end: its tick is taken over after its lease.
    sys.stderr.flush()
    os._exit(0)


async def serve(settings: Settings, store: Store, key: str) -> None:
    """Run the app until a signal asks to end."""
    app = App(settings, store, key, clock=lambda: datetime.now(UTC), tell=say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.ending.set)
    say(f"scheduler {app.name} is ready")
    await app.run()


def say(text: str) -> None:
    """Print one readable line, in one piece: threads say theirs at the same moment. Where it cannot be written, as on a
    full disk, the process goes on."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"monitors: {text}\n")
        sys.stderr.flush()


def _open_encoder(settings: Settings) -> Any:
    from models.encoder import Encoder

    return Encoder(settings.encoder_path, threads=1)


def _asker(settings: Settings, key: str) -> Any:
    def send(prompts: Sequence[ProbePrompt], *, seed: int, deadline_seconds: float) -> list[Record]:
        return ask(
            prompts,
            model=settings.deployment,
            gateway_url=settings.gateway_url,
            key=key,
            seed=seed,
            deadline_seconds=deadline_seconds,
        )

    return send
