"""Carries releases out: proves a candidate before it goes live, and every flip after it, by fingerprint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from core.errors import Conflict, NotFound, TrimtabError, Unavailable
from core.settings import Settings
from gateway import pointer as pointers
from gateway.pointer import Pointer
from retrain import artefacts
from retrain.asking import Answering, Asker, Refused
from retrain.release_alerts import ACTOR, POINTER, PROMOTION, PROOF, finding, is_pointed, standing
from store import alerts, apart, deployments, prints, trials, versions
from store.unit_of_work import Store, Tx

log = logging.getLogger("trimtab.retrain")
Item = TypeVar("Item")
POLL_SECONDS = 0.1
# A gateway asked before it read the new route would spend seconds on the print of the old version.
FOLLOW_SECONDS = 0.25
PROOF_SECONDS = 5.0
RETRY_SECONDS = 1.0
DOUBT_RETRY_SECONDS = 30.0
EXCHANGED = "If its server was exchanged on purpose, have its fingerprint taken anew on its page."


class Releaser:
    """Follows requested and live deployments. `tell` prints one line an event."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        asker: Asker,
        *,
        clock: Callable[[], datetime],
        tell: Callable[[str], None],
    ) -> None:
        self.store, self.settings, self.asker = store, settings, asker
        self.clock, self.tell = clock, tell
        self._later: dict[int, datetime] = {}
        self._refused: set[Pointer] = set()

    async def follow(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `settle` or `carry_out` again and again until cancelled. What was begun before a crash is in its row.

        Each has its own turn: a version that takes a minute to load keeps no rollback from being entered and proved.
        """
        trouble = ""
        while True:
            said = ""
            try:
                await work()
            except TrimtabError as error:
                said = f"waiting: {error}"
            except Exception as error:
                said = f"a release failed with {type(error).__name__} and is tried again; the log has the details"
                if said != trouble:
                    log.error("a release failed", exc_info=error)
            if said and said != trouble:
                self.tell(said)
            trouble = said
            await asyncio.sleep(RETRY_SECONDS if said else POLL_SECONDS)

    async def step(self) -> None:
        """One look at everything."""
        await self.carry_out()
        await self.settle()

    async def settle(self) -> None:
        """Enter what pointers did, prove what is live, and let segments that have no version of their own any more join
        everybody."""
        ahead, unproved, ended = await asyncio.to_thread(self._read)
        if entering := [pointer for pointer in ahead if pointer not in self._refused]:
            await self.enter(entering[0])
            return
        await self._each([row for row in unproved if self._due(row)], self.prove)
        await self._each(ended, self.join)

    async def carry_out(self) -> None:
        """Carry out what is requested."""
        requested = await asyncio.to_thread(self._read_requested)
        await self._each([row for row in requested if self._due(row)], self.promote)

    async def enter(self, pointer: Pointer) -> None:
        """Enter the rollback that a gateway made by its pointer while the database was away; it is proved next."""

        def change(tx: Tx) -> None:
            deployments.enter_rollback(
                tx,
                pointer.deployment,
                to=pointer.version,
                generation=pointer.generation,
                actor=pointer.actor,
                reason=pointer.reason,
                at=pointer.at,
            )
            alerts.resolve(tx, standing(POINTER, pointer.deployment), reason=f"{pointer.version} is live.", actor=ACTOR)

        try:
            await self._write(change)
        except (Conflict, NotFound) as error:
            if pointer not in (await asyncio.to_thread(self._read))[0]:
                return  # Another worker entered it, or production has moved on: the gateway follows that.
            self._refused.add(pointer)
            file = self.settings.pointer_path.name
            summary = f"The local pointer names {pointer.version}: {error.message} If it is an old one, remove {file}."
            about = finding(POINTER, pointer.deployment, summary)
            await self._write(lambda tx: alerts.apply(tx, about, actor=ACTOR))
            self.tell(f"the pointer cannot be entered: {error.message}")
            return
        self.tell(f"{pointer.version} is live as {pointer.deployment}, by the pointer while the database was away")

    async def promote(self, row: Mapping[str, Any]) -> None:
        """Load the requested version, compare its fingerprint with the registered one, and let it serve as asked."""
        damage = "" if not row["path"] else await asyncio.to_thread(self._inspect, row)
        if damage:
            await self._fail(row, damage)
            return
        try:
            found = await self.asker.fingerprint(row["version"])
        except Refused as error:
            await self._fail(row, error.message)
            return
        except Unavailable as error:
            self._postpone(row, RETRY_SECONDS)
            if row["message"] != (why := str(error)):
                await self._write(lambda tx: deployments.delay(tx, row["id"], why))
                self.tell(f"{row['version']} cannot be loaded yet: {why}")
            return
        # Adopted without a gateway to ask: as it answers when it is first loaded is what it is from here on.
        if not await self._write(lambda tx: prints.accept(tx, row["version"], found.fingerprint, actor=ACTOR)):
            await self._fail(row, f"{row['version']} answers otherwise than when it was registered. {EXCHANGED}")
            return
        await self._put(row, found)

    async def prove(self, row: Mapping[str, Any]) -> None:
        """Ask the gateway who answers and record the proof, or raise an alert when it is somebody else."""
        if self.clock() < row["live_at"] + timedelta(seconds=FOLLOW_SECONDS):
            return
        try:
            found = await self.asker.fingerprint(deployment=row["deployment"])
        except Refused as error:
            # A gateway that has not read the route yet does not know a new segment.
            if self.clock() - row["live_at"] > timedelta(seconds=PROOF_SECONDS):
                await self._doubt(row, error.message)
            else:
                self._postpone(row, RETRY_SECONDS)
            return
        except Unavailable:
            self._postpone(row, RETRY_SECONDS)
            return
        if found.generation < row["generation"]:
            if self.clock() - row["live_at"] > timedelta(seconds=PROOF_SECONDS):
                await self._doubt(row, f"The gateway still answers with {found.version}.")
            return
        if found.generation > row["generation"]:
            # Overtaken since the row was read, or by a pointer that cannot be entered.
            self._postpone(row, RETRY_SECONDS)
            return

        def record(tx: Tx) -> bool:
            # The very first version is one which nobody could ask before.
            own = found.version == row["version"]
            own = own and prints.accept(tx, row["version"], found.fingerprint, actor=ACTOR)
            return own and deployments.verify(tx, row["id"], found.fingerprint.digest, actor=ACTOR)

        if await self._write(record):
            self.tell(f"{row['deployment']} is answered by {row['version']}, proved by its fingerprint")
            over = standing(PROOF, row["deployment"])
            await self._write(lambda tx: alerts.resolve(tx, over, reason="The fingerprint is proved.", actor=ACTOR))
        else:
            why = f"{found.version} answers, and not as {row['version']} was registered."
            await self._doubt(row, f"{why} {EXCHANGED}" if found.version == row["version"] else why)

    async def join(self, name: str) -> None:
        """Let the segment of the deployment `name` be answered as everybody, if nothing of its own is left by now."""

        def change(tx: Tx) -> bool:
            joined = apart.join(tx, name, actor=ACTOR)
            if joined:
                # Nobody asks for its proof any more.
                over = standing(PROOF, name)
                alerts.resolve(tx, over, reason="The segment is answered as everybody.", actor=ACTOR)
            return joined

        if await self._write(change):
            self.tell(f"{name} is answered as everybody again")

    async def _put(self, row: Mapping[str, Any], found: Answering) -> None:
        """Put the proved version on trial where that was asked for, else live at once; nothing where another worker
        was faster, or a person's pointer waits to be entered."""
        then: Literal["shadow", "canary", "live"]
        print_ = found.fingerprint.digest
        then = "shadow" if row["shadow"] else "canary" if row["share"] else "live"

        def change(tx: Tx) -> bool:
            if not deployments.is_requested(tx, row["id"]) or is_pointed(tx, self.settings, row):
                return False
            if then != "live":
                trials.begin(tx, row["id"], then, actor=ACTOR, fingerprint=print_)
                return True
            deployments.flip(tx, row["id"], actor=ACTOR, fingerprint=print_)
            over = standing(PROMOTION, row["deployment"])
            alerts.resolve(tx, over, reason=f"{row['version']} is live.", actor=ACTOR)
            return True

        try:
            if not await self._write(change):
                return
        except Conflict as error:
            await self._fail(row, error.message)
            return
        share = f", {row['share']} %" if then == "canary" else ""
        self.tell(f"{row['version']} is {then} as {row['deployment']}{share}")

    async def _fail(self, row: Mapping[str, Any], message: str) -> None:
        def change(tx: Tx) -> bool:
            # What another worker has put on trial, or live, is not this one's to end.
            if not deployments.is_requested(tx, row["id"]):
                return False
            deployments.fail(tx, row["id"], message, actor=ACTOR)
            summary = f"The promotion of {row['version']} failed: {message}"
            alerts.apply(tx, finding(PROMOTION, row["deployment"], summary), actor=ACTOR)
            return True

        if await self._write(change):
            self.tell(f"the promotion of {row['version']} failed: {message}")

    async def _doubt(self, row: Mapping[str, Any], message: str) -> None:
        """Tell once what answers instead. A print takes the server's time from answers, so that the next can wait."""
        self._postpone(row, DOUBT_RETRY_SECONDS)
        if row["message"] == message:
            return

        def change(tx: Tx) -> None:
            deployments.doubt(tx, row["id"], message, actor=ACTOR)
            summary = f"{row['deployment']} should be answered by {row['version']}. {message}"
            alerts.apply(tx, finding(PROOF, row["deployment"], summary), actor=ACTOR)

        await self._write(change)
        self.tell(f"not proved: {message}")

    async def _each(self, items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
        """Do `work` with each; one that fails keeps no other waiting. Raises what stopped the first of them, at once
        where the database is away."""
        stopped: list[Exception] = []
        for item in items:
            try:
                await work(item)
            except Unavailable:
                raise
            except Exception as error:
                stopped.append(error)
        if stopped:
            raise stopped[0]

    def _read_requested(self) -> list[Any]:
        with self.store.read() as tx:
            return list(deployments.requested(tx))

    def _read(self) -> tuple[list[Pointer], list[Any], list[str]]:
        pointed = pointers.read(self.settings.pointer_path)
        with self.store.read() as tx:
            routes = {name: deployments.current(tx, name) for name in pointed}
            ahead = [
                pointer
                for name, pointer in pointed.items()
                if (route := routes[name]) is not None and pointer.generation > route["generation"]
            ]
            return ahead, deployments.unverified(tx), apart.ended(tx)

    def _inspect(self, row: Mapping[str, Any]) -> str:
        with self.store.read() as tx:
            version = versions.by_id(tx, row["version_id"])
        return artefacts.find_damage(self.settings.home, version)

    async def _write(self, change: Callable[[Tx], Any]) -> Any:
        def write() -> Any:
            with self.store.write(self.clock()) as tx:
                return change(tx)

        return await asyncio.to_thread(write)

    def _due(self, row: Mapping[str, Any]) -> bool:
        later = self._later.get(row["id"])
        return later is None or self.clock() >= later

    def _postpone(self, row: Mapping[str, Any], seconds: float) -> None:
        self._later[row["id"]] = self.clock() + timedelta(seconds=seconds)
