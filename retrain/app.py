"""Puts the worker's process together: decisions, pairs, runs and releases, each in its own loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import config
from config import secrets
from core.errors import TrimtabError
from core.settings import Settings
from monitors.embedding import Embedder
from monitors.turns import repeat
from retrain import advice, decide, engines, orders
from retrain.asking import Asker
from retrain.candidate import Bench
from retrain.pairs import building, checks, collecting
from retrain.pairs import orders as pair_orders
from retrain.pairs.orders import Desk
from retrain.release import Releaser
from retrain.trial import Trials
from retrain.worker import Worker
from store import heartbeats, schema
from store.unit_of_work import Store, Tx

PROCESS = "retrain"
BEAT_SECONDS = 5.0
DECIDE_SECONDS = 1.0
PAIRS_SECONDS = 2.0
DERIVE_SECONDS = 15.0
COMMAND_SECONDS = 1.0
GRACE_SECONDS = 4.5
Done = TypeVar("Done")


class App:
    """The worker's process on an open store. `clock` gives the time, `tell` prints one line an event."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        key: str,
        *,
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
    ) -> None:
        self.settings, self.store, self.clock, self.tell = settings, store, clock, tell
        self.ending = asyncio.Event()
        self.asker = Asker(settings.gateway_url, key, settings.deployment)
        self.bench = bench = Bench(store, settings, self.asker, clock=clock)
        (settings.home / "runs").mkdir(parents=True, exist_ok=True)
        engine = engines.connect(settings)
        name = f"{socket.gethostname()}:{os.getpid()}"
        self.worker = Worker(store, settings, engine, bench, name=name, clock=clock, tell=tell, ending=self.ending)
        self.releaser = Releaser(store, settings, self.asker, clock=clock, tell=tell)
        self.embed = Embedder(store, lambda: _open_encoder(settings), clock)
        self.trials = Trials(store, settings, clock=clock, tell=tell)
        self.started = clock()

    async def run(self) -> None:
        """Run every loop until `ending` is set, then leave within GRACE_SECONDS."""
        work = asyncio.create_task(self.worker.work())
        loops = [
            asyncio.create_task(loop)
            for loop in (
                self.releaser.follow(self.releaser.settle),
                self.releaser.follow(self.releaser.carry_out),
                self.trials.follow(),
                *(repeat(take, seconds, tell=self.tell) for take, seconds in self.turns()),
            )
        ]
        ended = asyncio.create_task(self.ending.wait())
        try:
            done, _ = await asyncio.wait({work, ended, *loops}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {ended}:
                task.result()
            await asyncio.wait({work}, timeout=GRACE_SECONDS)
        finally:
            self.ending.set()
            for task in (work, ended, *loops):
                task.cancel()
            await asyncio.gather(work, ended, *loops, return_exceptions=True)
            await self.asker.close()

    def turns(self) -> tuple[tuple[Callable[[], Awaitable[str]], float], ...]:
        """What is done again and again, with the seconds between two turns; a turn returns a line about it, or ""."""
        return (
            (self._compare, COMMAND_SECONDS),
            (self._decide, DECIDE_SECONDS),
            (self._look_at_pairs, PAIRS_SECONDS),
            (self._obey, COMMAND_SECONDS),
            (self._advise, COMMAND_SECONDS),
            (self._beat, BEAT_SECONDS),
            (self._work_on_pairs, COMMAND_SECONDS),
            (self._derive_pairs, DERIVE_SECONDS),
        )

    async def _decide(self) -> str:
        failed: list[Exception] = []
        lines = await self._when(
            lambda tx: decide.is_due(tx, self.settings),
            lambda tx: decide.decide(tx, self.settings, failed=failed.append),
        )
        for line in lines or ():
            self.tell(line)
        if failed:
            raise failed[0]
        return ""

    async def _look_at_pairs(self) -> str:
        def look(tx: Tx) -> tuple[int, int, int]:
            return building.collect(tx, consent=self.settings.retrain.feedback_consent), *checks.judge_collected(tx)

        done = await self._when(lambda tx: building.waits(tx) or checks.wait(tx), look)
        if done is None or not any(done):
            return ""
        return f"pairs: {done[0]} new from feedback, {done[1]} approved, {done[2]} quarantined"

    async def _work_on_pairs(self) -> str:
        desk = Desk(self.store, self.settings, self.clock)
        return await pair_orders.obey(desk, self.worker.name, ending=self.ending.is_set)

    async def _derive_pairs(self) -> str:
        consent = self.settings.retrain.feedback_consent
        new = await asyncio.to_thread(collecting.derive, self.store, self.clock(), consent=consent)
        return f"pairs: {new} new from thumbs and failed probes" if new else ""

    async def _obey(self) -> str:
        return await self._when(orders.wait, lambda tx: orders.obey(tx, self.settings, self.worker.name)) or ""

    async def _beat(self) -> str:
        def beat() -> None:
            worker = self.worker
            info = {"worker": worker.name, "run": worker.busy, "engine": self.settings.retrain.engine}
            info["trouble"] = worker.trouble
            with self.store.write(self.clock()) as tx:
                heartbeats.beat(tx, PROCESS, PROCESS, os.getpid(), self.started, info)

        await asyncio.to_thread(beat)
        return ""

    async def _advise(self) -> str:
        ending = self.ending.is_set
        if self.settings.encoder_path.is_dir():
            await self._when(lambda tx: bool(advice.lacking(tx)), lambda tx: advice.ask_again(tx, self.settings))
        return await advice.work(self.store, self.embed, self.worker.name, clock=self.clock, ending=ending)

    async def _compare(self) -> str:
        return await orders.compare(self.bench, self.worker.name, ending=self.ending.is_set)

    async def _when(self, due: Callable[[Tx], bool], work: Callable[[Tx], Done]) -> Done | None:
        """What `work` returned, done in a transaction that writes; None where `due` saw nothing to do."""

        def once() -> Done | None:
            # Looking first keeps an idle worker from taking SQLite's one write lock every second.
            with self.store.read(self.clock()) as tx:
                if not due(tx):
                    return None
            with self.store.write(self.clock()) as tx:
                return work(tx)

        return await asyncio.to_thread(once)


def main() -> int:
    """Run the worker until SIGTERM or Ctrl-C. Returns the exit code."""
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
    finally:
        store.close()
    say("ended")
    return 0


async def serve(settings: Settings, store: Store, key: str) -> None:
    """Run the app until a signal asks to end."""
    app = App(settings, store, key, clock=lambda: datetime.now(UTC), tell=say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.ending.set)
    say(f"worker {app.worker.name} is ready")
    await app.run()


def _open_encoder(settings: Settings) -> Any:
    from models.encoder import Encoder

    return Encoder(settings.encoder_path, threads=1)


def say(text: str) -> None:
    """Print one readable line, in one piece: threads say theirs at the same moment. Where it cannot be written, as on a
    full disk, the process goes on."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"retrain: {text}\n")
        sys.stderr.flush()
