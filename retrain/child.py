"""A training or evaluating child of a run: started or found again, followed line by line, and stopped with grace."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from core.errors import Conflict, InvalidInput, TrimtabError, Unavailable
from core.ports import Engine
from retrain import remedies
from retrain.ending import FULL_DISK, is_full
from retrain.engines import DONE, GONE, RUNNING, STOPPED
from retrain.held import Held

POLL_SECONDS = 0.5
# A step on two slow cores may take seconds; the child keeps its checkpoint before it ends.
GRACE_SECONDS = 30.0
LAST_GRACE_SECONDS = 3.0
# An engine may be on another machine. What runs there goes on without us for a while.
PATIENCE_SECONDS = 60.0
PATIENT_POLL_SECONDS = 2.0
_WRONG_SPEC = 2
_LINES_AT_ONCE = 200

Answer = TypeVar("Answer")


class Interrupted(Exception):
    """The child was ended on purpose, by a person or because the worker ends."""


class ChildDied(TrimtabError):
    """The child ended without finishing; starting it again may help."""


class Tail:
    """Reads whole lines of a growing JSONL file; `number` counts the lines taken."""

    def __init__(self, path: Path, *, after: int = 0) -> None:
        self.path, self.number = path, 0
        self.latest: dict[str, Any] = {}
        self._offset, self._after = 0, after

    def read(self) -> list[tuple[int, dict[str, Any]]]:
        """The next lines that are whole, with their numbers; ones that were taken before are passed over."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        fresh: list[tuple[int, dict[str, Any]]] = []
        for line in whole.splitlines():
            self.number += 1
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                # What a line does not say still holds: a checkpoint does not change the loss.
                self.latest = event if event.get("event") == "start" else {**self.latest, **event}
                if self.number > self._after:
                    fresh.append((self.number, event))
        return fresh


class Child:
    """Runs `python -m MODULE FOLDER` for a held run on `engine`. `ending` is set when the worker must end."""

    def __init__(self, engine: Engine, held: Held, folder: Path, *, ending: asyncio.Event) -> None:
        self.engine, self.held, self.folder, self.ending = engine, held, folder, ending
        self.following = False

    async def run(self, module: str, result: str) -> None:
        """Return once the child wrote `result` in the folder.

        Raises Interrupted, InvalidInput when what it was told is wrong, ChildDied when it ended early.
        """
        known = await self.held.last_line()
        tail = Tail(self.folder / "progress.jsonl", after=known)
        before = tail.read()
        if tail.number < known:
            await self.held.forget_progress()
            tail = Tail(self.folder / "progress.jsonl")
            before = tail.read()
        if before:
            await self.held.progress(tail.latest, before)
        began = tail.number
        self.following = True
        try:
            job, found = await self._start(module)
            status = await self._follow(job, tail)
            if found and not (self.folder / result).exists() and await self._was_stopped(status, tail, began):
                # An earlier worker asked it to end and did not live to see it: it goes on from its checkpoint.
                job, _ = await self._start(module)
                status = await self._follow(job, tail)
        finally:
            self.following = False
        await self._tell(tail)
        if status == DONE or (self.folder / result).exists():
            return
        event = tail.latest if tail.number > began else {}
        if event.get("event") == "error":
            if event.get("code") == _WRONG_SPEC:
                raise InvalidInput(remedies.for_run(str(event.get("message", "The run was told something wrong."))))
            raise ChildDied(remedies.for_run(str(event.get("message", "The trainer failed."))))
        if is_full(self.folder):
            raise ChildDied(FULL_DISK)
        last = (await self._patiently(lambda: self.engine.log(job, tail=1))).strip()[:300]
        raise ChildDied("The trainer was killed." if not last else f"The trainer ended: {last}")

    async def _start(self, module: str) -> tuple[str, bool]:
        """The child's job, and whether it was found rather than started."""
        argv = [sys.executable, "-m", module, str(self.folder)]

        def start() -> tuple[str, bool]:
            found = [job for job in self.engine.list() if job.partition("/")[0] == self.held.uuid]
            if found == [self.held.row["job"]]:
                return found[0], True
            for job in found:
                # Another stage's child, or one whose start was never recorded: it must not write beside ours.
                self.engine.stop(job, GRACE_SECONDS)
            try:
                return self.engine.submit(self.held.uuid, self.folder, argv), False
            except Conflict as error:
                if not found:
                    raise
                # What was stopped may wait for room on a cluster, and ends when its turn comes.
                raise Unavailable(error.message, error.remedy) from None

        job, found = await self._patiently(start)
        if not found:
            await self.held.note(job=job)
        return job, found

    async def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """What the engine answers; asked again for PATIENCE_SECONDS while it is away.

        Raises Unavailable after that, or Interrupted when the run is to end meanwhile: what it leaves running is an
        orphan, which a worker ends once the engine is back.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(ask)
            except Unavailable:
                if self.held.stop_asked.is_set() or self.ending.is_set():
                    raise Interrupted from None
                if clock() > deadline:
                    raise
            await asyncio.sleep(PATIENT_POLL_SECONDS)

    async def _was_stopped(self, status: str, tail: Tail, began: int) -> bool:
        """Whether the child ended because it was asked to. Of one that another worker started nobody sees how it ends:
        then its last line says so."""
        if status != GONE:
            return status == STOPPED
        await self._tell(tail)
        return tail.number > began and str(tail.latest.get("event", "")).endswith("stopped")

    async def _follow(self, job: str, tail: Tail) -> str:
        while True:
            status = await self._patiently(lambda: self.engine.status(job))
            if status != RUNNING:
                return status
            if self.held.stop_asked.is_set() or self.ending.is_set():
                await self._patiently(lambda: self._end(job))
                await self._tell(tail)
                raise Interrupted
            await self._tell(tail)
            await asyncio.sleep(POLL_SECONDS)

    def _end(self, job: str) -> None:
        self.engine.stop(job, LAST_GRACE_SECONDS if self.ending.is_set() else GRACE_SECONDS)

    async def _tell(self, tail: Tail) -> None:
        lines = tail.read()
        for start in range(0, len(lines), _LINES_AT_ONCE):
            await self.held.progress(tail.latest, lines[start : start + _LINES_AT_ONCE])
