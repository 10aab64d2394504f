"""A run in a worker's hands: the lease kept alive, and every write made under its fence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from core.errors import Unavailable
from store import runs
from store.runs import LeaseLost
from store.unit_of_work import Store, Tx

Result = TypeVar("Result")
BEAT_SECONDS = 2.0
_PATIENCE_SECONDS = 1.0


class Held:
    """The run of `row`. `stop_asked` is set once a person asked it to stop, `lost` once another worker has it."""

    def __init__(
        self, store: Store, row: Mapping[str, Any], *, lease_seconds: float, clock: Callable[[], datetime]
    ) -> None:
        self.id, self.uuid, self.fence = int(row["id"]), str(row["uuid"]), int(row["fence"])
        self.row = dict(row)
        self.stop_asked = asyncio.Event()
        self.lost = asyncio.Event()
        self._store, self._lease, self._clock = store, lease_seconds, clock

    async def write(self, change: Callable[[Tx], Result]) -> Result:
        """Carry `change` out in a transaction in which the run is surely ours, waiting while the store is away. Raises
        LeaseLost, with nothing written."""
        return await self._patiently(lambda: self._write(change))

    async def read(self, look: Callable[[Tx], Result]) -> Result:
        """Read in a transaction of its own, which keeps nobody from writing; waits while the store is away."""
        return await self._patiently(lambda: self._read(look))

    async def beat(self) -> None:
        """Renew the lease until cancelled; sets `stop_asked` or `lost` and then ends with the latter."""
        while True:
            try:
                asked = await self.write(lambda tx: runs.heartbeat(tx, self.id, self.fence, lease_seconds=self._lease))
            except LeaseLost:
                self.lost.set()
                return
            if asked:
                self.stop_asked.set()
            await asyncio.sleep(min(BEAT_SECONDS, self._lease / 3))

    async def note(self, **values: Any) -> None:
        """Set columns of the run."""
        await self.write(lambda tx: runs.note(tx, self.id, self.fence, **values))
        self.row |= values

    async def advance(self, stage: str) -> None:
        """Enter `stage`."""
        await self.write(lambda tx: runs.advance(tx, self.id, self.fence, stage))
        self.row |= {"stage": stage, "job": ""}

    async def progress(self, latest: Mapping[str, Any], lines: Sequence[tuple[int, Mapping[str, Any]]] = ()) -> None:
        """Record where the run stands."""
        await self.write(lambda tx: runs.progress(tx, self.id, self.fence, latest=latest, lines=lines))

    async def last_line(self) -> int:
        """The number of the last progress line in the store."""
        return await self.read(lambda tx: runs.last_line(tx, self.id))

    async def forget_progress(self) -> None:
        """Drop the progress lines: the child's log begins anew."""
        await self.write(lambda tx: runs.cut_progress(tx, self.id, self.fence))

    async def _patiently(self, work: Callable[[], Result]) -> Result:
        while True:
            try:
                return await asyncio.to_thread(work)
            except Unavailable:
                await asyncio.sleep(_PATIENCE_SECONDS)

    def _read(self, look: Callable[[Tx], Result]) -> Result:
        with self._store.read() as tx:
            return look(tx)

    def _write(self, change: Callable[[Tx], Result]) -> Result:
        with self._store.write(self._clock()) as tx:
            runs.require_held(tx, self.id, self.fence)
            return change(tx)
