"""A process that carries out commands: it takes the oldest, keeps its lease while the work goes on, and ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import Conflict, NotFound, TrimtabError, Unavailable
from store import commands
from store.unit_of_work import Store, Tx

LEASE_SECONDS = 60.0
TELL_SECONDS = 2.0
# No work takes so long; what hangs would keep all that is asked after it waiting.
MOST_SECONDS = 12 * 3600.0
# Hears which share is done. Raises Left where the work is to be left, so that nobody works on for nothing.
Report = Callable[[float], None]
Work = Callable[[Mapping[Any, Any], Report], Awaitable[Mapping[str, Any]]]


class Left(Exception):
    """The work is another process's: it took the command over, or is to, as this one ends."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The process named `process`, which takes what is asked of `owner`; `clock` dates what it writes, and `ending`
    says that it must end."""

    store: Store
    owner: str
    process: str
    clock: Callable[[], datetime]
    ending: Callable[[], bool] = lambda: False

    async def carry(self, kinds: Collection[str], work: Work) -> str:
        """Carry out the oldest command of `kinds` that waits; returns a line about it, or "" when there is none.

        `work` gets the command's row and a function for the share that is done (0 to 1, from any thread), and returns
        the result; what it raises ends the command as failed. A command that expired meanwhile, or that another process
        took over, is left to that; one that is under way as this process ends is handed back.
        """
        row = None if self.ending() else await asyncio.to_thread(self._claim, list(kinds))
        if row is None:
            return ""
        reached, waited, lost = 0.0, 0.0, False

        def report(share: float) -> None:
            nonlocal reached
            reached = share
            if lost or self.ending():
                raise Left

        task = asyncio.ensure_future(work(row, report))
        while not (await asyncio.wait({task}, timeout=TELL_SECONDS))[0]:
            lost = lost or not await asyncio.to_thread(self._renew, row["id"], reached)
            waited += TELL_SECONDS
            if waited >= MOST_SECONDS:
                lost = True  # should it report again, it is left
                task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
                return await self._give_up(row)
        try:
            result = task.result()
        except Exception as error:
            if lost or self.ending():
                await asyncio.to_thread(self._end, lambda tx: commands.hand_back(tx, row["id"], process=self.process))
                return ""
            message, kind = describe(self.owner, row["kind"], error), type(error).__name__
            await asyncio.to_thread(
                self._end, lambda tx: commands.fail(tx, row["id"], message, process=self.process, error=kind)
            )
            return f"{row['kind']} failed for {row['actor']}: {message}"
        await asyncio.to_thread(self._end, lambda tx: commands.finish(tx, row["id"], result, process=self.process))
        return f"{row['kind']} done for {row['actor']}"

    async def _give_up(self, row: Mapping[Any, Any]) -> str:
        message = (
            f"It did not end in {MOST_SECONDS / 3600:g} hours and was given up. "
            f"Restart the {self.owner} process before you ask again."
        )
        await asyncio.to_thread(
            self._end, lambda tx: commands.fail(tx, row["id"], message, process=self.process, error="Hung")
        )
        return f"{row['kind']} failed for {row['actor']}: {message}"

    def _claim(self, kinds: Collection[str]) -> Mapping[Any, Any] | None:
        # Looking first keeps an idle process from taking SQLite's one write lock every second.
        with self.store.read() as tx:
            if not commands.waits(tx, self.owner, kinds):
                return None
        with self.store.write(self.clock()) as tx:
            return commands.claim(tx, self.owner, self.process, LEASE_SECONDS, kinds=kinds)

    def _renew(self, id: int, share: float) -> bool:
        """Whether the command is still this process's, as far as one can tell."""
        try:
            with self.store.write(self.clock()) as tx:
                commands.progress(tx, id, share, process=self.process, lease_seconds=LEASE_SECONDS)
        except Conflict:
            return False
        except Unavailable:
            pass  # the lease outlasts a store that is away for a moment; who lost it learns so later
        return True

    def _end(self, end: Callable[[Tx], None]) -> None:
        try:
            with self.store.write(self.clock()) as tx:
                end(tx)
        except (Conflict, NotFound):
            return  # it expired or another process took it over


def describe(owner: str, work: str, error: Exception) -> str:
    """The failure in plain words without captured text: our own, or the kind of a foreign error, which is logged."""
    if isinstance(error, TrimtabError):
        return f"{error.message} {error.remedy}".strip()
    logging.getLogger(f"trimtab.{owner}").error("%s failed", work, exc_info=error)
    return f"It failed with {type(error).__name__}; the process's log has the details."
