"""Takes queued runs one at a time and carries them through; what it leaves unfinished the next worker goes on with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from core.errors import InvalidInput, TrimtabError, Unavailable
from core.ports import Engine
from core.settings import Settings
from retrain.candidate import Bench
from retrain.child import GRACE_SECONDS, Interrupted
from retrain.ending import FULL_DISK, met_full
from retrain.held import Held
from retrain.stages import MODULES, Stages
from store import runs
from store.runs import LeaseLost
from store.unit_of_work import Store

log = logging.getLogger("trimtab.retrain")
IDLE_SECONDS = 0.5
RETRY_SECONDS = 5.0
ORPHAN_SECONDS = 10.0


class Worker:
    """The worker called `name`. `tell` prints one line an event; `ending` is set when the process must end."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        engine: Engine,
        bench: Bench,
        *,
        name: str,
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
        ending: asyncio.Event,
        modules: tuple[str, str, str] = MODULES,
    ) -> None:
        self.modules = modules
        self.store, self.settings, self.engine, self.bench = store, settings, engine, bench
        self.name, self.clock, self.tell, self.ending = name, clock, tell, ending
        self.busy = self.trouble = ""
        self._looked_for_orphans = -math.inf

    async def work(self) -> None:
        """Take runs until the process ends; `trouble` says what keeps it from that now."""
        while not self.ending.is_set():
            said, taken = "", False
            try:
                taken = await self.take()
            except (Unavailable, InvalidInput) as error:
                # The store or the engine is away, or the engine's cluster takes no jobs from us as it is set up.
                said = str(error)
            except Exception as error:
                # A run's own failure ends that run; what is left must not end every loop of the process.
                log.error("the worker's turn failed", exc_info=error)
                said = f"a turn failed with {type(error).__name__}; the log has the details"
            if said and not self.trouble:
                self.tell(f"waiting: {said}")
            self.trouble = said
            if not taken:
                await self._pause(RETRY_SECONDS if said else IDLE_SECONDS)

    async def take(self) -> bool:
        """Carry one run as far as it goes; returns whether there was one."""
        row = await asyncio.to_thread(self._claim)
        if row is None:
            at = asyncio.get_running_loop().time()
            if at - self._looked_for_orphans >= ORPHAN_SECONDS:
                await asyncio.to_thread(self._end_orphans)
                self._looked_for_orphans = at
            return False
        held = Held(self.store, row, lease_seconds=self.settings.retrain.lease_seconds, clock=self.clock)
        self.busy = held.uuid
        self.tell(f"run {held.uuid} goes on at {row['stage']}" if row["fence"] > 1 else f"run {held.uuid} begins")
        beat = asyncio.create_task(held.beat())
        work = asyncio.create_task(self._carry(held))
        try:
            await asyncio.wait({beat, work}, return_when=asyncio.FIRST_COMPLETED)
            if held.lost.is_set() and not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        except LeaseLost:
            self.tell(f"run {held.uuid} is another worker's now")
        finally:
            self.busy = ""
            for task in (beat, work):
                task.cancel()
            await asyncio.gather(beat, work, return_exceptions=True)
        return True

    async def _carry(self, held: Held) -> None:
        stages = Stages(
            held, self.settings, self.engine, self.bench, ending=self.ending, clock=self.clock, modules=self.modules
        )
        work = asyncio.create_task(stages.run())
        asked = [asyncio.create_task(event.wait()) for event in (held.stop_asked, self.ending)]
        try:
            # A child is stopped by whoever follows it; waiting for answers is simply left.
            await asyncio.wait({work, *asked}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await asyncio.wait({work}, timeout=GRACE_SECONDS + 5 if stages.child.following else 0.1)
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                raise Interrupted
            message = work.result()
            await held.write(lambda tx: runs.finish(tx, held.id, held.fence, "succeeded", message))
            self.tell(f"run {held.uuid} succeeded: {message}")
        except Interrupted:
            await self._interrupted(held)
        except LeaseLost:
            raise
        except InvalidInput as error:
            words = str(error)
            await held.write(lambda tx: runs.finish(tx, held.id, held.fence, "failed", words))
            self.tell(f"run {held.uuid} failed: {words}")
        except TrimtabError as error:
            await self._crashed(held, str(error))
        except Exception as error:
            await self._crashed(held, FULL_DISK if met_full(error) else f"{type(error).__name__}: {error}")
        finally:
            for task in (work, *asked):
                task.cancel()

    async def _interrupted(self, held: Held) -> None:
        if held.stop_asked.is_set():
            message = "Stopped; what was done so far is kept."
            await held.write(lambda tx: runs.finish(tx, held.id, held.fence, "cancelled", message))
            self.tell(f"run {held.uuid} cancelled at {held.row['stage']}")
            return
        message = "The worker ended; the run goes on when it is back."
        await held.write(lambda tx: runs.hand_back(tx, held.id, held.fence, message))
        self.tell(f"run {held.uuid} handed back at {held.row['stage']}")

    async def _crashed(self, held: Held, message: str) -> None:
        follows = await held.write(lambda tx: runs.crash(tx, held.id, held.fence, message))
        self.tell(f"run {held.uuid} crashed, now {follows}: {message}")
        await self._pause(IDLE_SECONDS)

    def _claim(self) -> dict[str, Any] | None:
        # Looking first keeps an idle worker from taking SQLite's one write lock twice a second.
        with self.store.read() as tx:
            if not runs.claimable(tx):
                return None
        with self.store.write(self.clock()) as tx:
            row = runs.claim(tx, self.name, lease_seconds=self.settings.retrain.lease_seconds)
            return dict(row) if row is not None else None

    def _end_orphans(self) -> None:
        """End children of runs that nobody carries on: ended for good while their worker was dead."""
        for job in self.engine.list():
            with self.store.read() as tx:
                over = runs.is_over(tx, job.partition("/")[0])
            if over:
                self.tell(f"ending the orphan {job}")
                try:
                    self.engine.stop(job, GRACE_SECONDS)
                except Exception as error:
                    # It is found again in a moment; those after it need not wait for that.
                    self.tell(f"the orphan {job} could not be ended: {type(error).__name__}: {error}")

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)
