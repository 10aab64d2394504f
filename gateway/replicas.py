"""Several servers of one kind behind one gateway: every version on all of them, each request to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zlib import crc32

from core.errors import Unavailable
from core.ports import ChatPiece, ChatRequest, ExpertLoad, Fingerprint, Server
from gateway.upstream import Away, Busy, NotLoaded, Refused

# A conversation keeps its server, which has read its beginning, until that has so many more requests than another.
SLACK = 4


@dataclass(eq=False, slots=True)
class Replica:
    """One of the servers: whether it answered when last asked, what it has and what it refused, requests under way."""

    name: str
    server: Server
    answers: bool = True
    loaded: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    running: int = 0
    catching_up: asyncio.Task[None] | None = None


class Replicas:
    """Servers that answer as one, with as many of them as are there.

    One that was away gets what it missed before it is asked for it; one that cannot be reached, or lost a version,
    gives way to another before the first piece of an answer. `servers` are of one kind, with the same base model.
    """

    def __init__(self, servers: Sequence[Server]) -> None:
        self.replicas = [Replica(f"Server {place} of {len(servers)}", one) for place, one in enumerate(servers, 1)]
        self.extras: frozenset[str] = getattr(servers[0], "extras", frozenset())
        self._paths: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """What keeps one of them from answering as the others do, in a sentence; empty where nothing does."""
        for replica in self.replicas:
            if not replica.answers:
                return f"{replica.name} does not answer; the others answer in its place."
            for version, why in replica.refused.items():
                return f"{replica.name} does not load {version}: {why}"
        return ""

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        """The answer of one of them; of another where that one gives way before its first piece."""
        opening = next((str(one.get("content")) for one in request.messages if one.get("role") == "user"), "")
        tried: list[Replica] = []
        while True:
            replica = self._pick(request.version, tried, opening)
            tried.append(replica)
            pieces, begun = replica.server.generate(request), False
            replica.running += 1
            try:
                async for piece in pieces:
                    begun = True
                    yield piece
                return
            except Unavailable as error:
                if begun or not self._gives_way(replica, request.version, error, tried):
                    raise
            finally:
                replica.running -= 1
                await pieces.aclose()

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        """As one of them scores."""
        tried: list[Replica] = []
        while True:
            replica = self._pick(version, tried)
            tried.append(replica)
            try:
                return await replica.server.score(version, items)
            except Unavailable as error:
                if not self._gives_way(replica, version, error, tried):
                    raise

    async def load(self, version: str, path: str) -> None:
        """Load it on all of them; it is loaded once one has it, and the others get it when they can.

        Raises Refused where those that answer refuse it, Unavailable where none answers.
        """
        self._paths[version] = path
        told = await self._all(lambda replica: self._load(replica, version, path))
        if not any(version in replica.loaded for replica in self.replicas):
            del self._paths[version]
            for replica in self.replicas:
                replica.refused.pop(version, None)
            raise next((error for error in told if isinstance(error, Refused)), None) or self._nobody(told)

    async def unload(self, version: str) -> None:
        """Free it on all of them; one that is away frees it when it starts anew."""
        self._paths.pop(version, None)
        await self._all(lambda replica: self._unload(replica, version))

    async def versions(self) -> Sequence[str]:
        """What those that answer have; one that missed something gets it meanwhile. Raises Unavailable."""
        told = await self._all(self._look)
        if not self._answering():
            raise self._nobody(told)
        for replica in self._answering():
            missed = [version for version in self._paths if version not in replica.loaded]
            if missed and (replica.catching_up is None or replica.catching_up.done()):
                replica.catching_up = asyncio.create_task(self._catch_up(replica, missed))
        return sorted({version for replica in self._answering() for version in replica.loaded})

    async def fingerprint(self, version: str) -> Fingerprint:
        """The fingerprint of all that answer.

        Raises NotLoaded while one of them still loads the version, Refused where one refused it or they differ.
        """
        asked = self._answering()
        self._pick(version, [])
        for replica in asked:
            if (why := replica.refused.get(version)) is not None:
                raise Refused(f"{replica.name} does not load {version}: {why}")
            if version not in replica.loaded:
                raise NotLoaded(f"{replica.name} does not have {version} yet.", "Try again in a moment.")
        prints = await asyncio.gather(*(replica.server.fingerprint(version) for replica in asked))
        for replica, print_ in zip(asked, prints, strict=True):
            if print_.digest != prints[0].digest:
                raise Refused(f"{replica.name} answers as {version} otherwise than {asked[0].name}.")
        return prints[0]

    async def experts(self, version: str) -> ExpertLoad | None:
        """As one of them reports it."""
        return await self._pick(version, []).server.experts(version)

    async def close(self) -> None:
        """Close every connection."""
        tasks = [replica.catching_up for replica in self.replicas if replica.catching_up is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for replica in self.replicas:
            await replica.server.close()

    def _answering(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.answers]

    def _pick(self, version: str, tried: Sequence[Replica], opening: str = "") -> Replica:
        """One that has `version`: the one that conversations with this opening go to, unless it has much more to do.

        Raises NotLoaded, or Unavailable where none answers.
        """
        fit = [replica for replica in self._answering() if version in replica.loaded and replica not in tried]
        if fit:
            least = min(replica.running for replica in fit)
            near = [replica for replica in fit if replica.running < least + SLACK]
            return max(near, key=lambda replica: crc32(f"{replica.name} {opening}".encode("utf-8", "replace")))
        if not self._answering():
            raise self._nobody(())
        raise NotLoaded(f"The version {version} is not loaded.", "Try again in a moment.")

    def _gives_way(self, replica: Replica, version: str, error: Unavailable, tried: Sequence[Replica]) -> bool:
        """Note what `error` says of the replica; whether another one can be asked instead.

        Only where the request did not begin: one that makes a server fail would make the others fail as well.
        """
        if isinstance(error, NotLoaded):
            replica.loaded.discard(version)
        elif isinstance(error, Away):
            replica.answers = False
        elif not isinstance(error, Busy):
            return False
        return any(version in other.loaded and other not in tried for other in self._answering())

    async def _all(self, work: Callable[[Replica], Awaitable[None]]) -> list[Unavailable | None]:
        """Do `work` with all of them at once; what stopped each."""
        return list(await asyncio.gather(*(self._one(work, replica) for replica in self.replicas)))

    async def _one(self, work: Callable[[Replica], Awaitable[None]], replica: Replica) -> Unavailable | None:
        try:
            await work(replica)
        except Unavailable as error:
            replica.answers = replica.answers and not isinstance(error, Away)
            return error
        return None

    async def _look(self, replica: Replica) -> None:
        before = set(replica.loaded)
        try:
            there = set(await replica.server.versions())
        except Unavailable:
            replica.answers = False
            raise
        # What was loaded meanwhile was not there yet when it was asked.
        replica.loaded -= before - there
        replica.answers = True

    async def _load(self, replica: Replica, version: str, path: str) -> None:
        try:
            await replica.server.load(version, path)
        except Refused as error:
            replica.refused[version] = error.message
            raise
        replica.refused.pop(version, None)
        replica.loaded.add(version)

    async def _unload(self, replica: Replica, version: str) -> None:
        replica.loaded.discard(version)
        replica.refused.pop(version, None)
        await replica.server.unload(version)

    async def _catch_up(self, replica: Replica, versions: Sequence[str]) -> None:
        """Load what others have; what cannot be loaded now is tried again after the next look."""
        for version in versions:
            if (path := self._paths.get(version)) is not None:
                await self._one(partial(self._load, version=version, path=path), replica)

    def _nobody(self, told: Sequence[Unavailable | None]) -> Unavailable:
        why = next((error for error in told if error is not None), None)
        return why or Unavailable("None of the model servers answers.", "Try again in a few seconds.")
