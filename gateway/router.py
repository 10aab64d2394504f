"""From a deployment's name to the version that answers: follows the routes, loads before it flips, unloads late."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from core import segments
from core.errors import NotFound, TrimtabError, Unavailable
from core.ports import ChatPiece, ChatRequest, Server
from gateway import pointer as pointers
from gateway.draw import drawn
from gateway.pointer import Place, Pointer
from gateway.upstream import NotLoaded
from store import routes
from store.routes import Route
from store.unit_of_work import Store

POLL_SECONDS = 0.08
READ_SECONDS = 0.5
WATCH_SECONDS = 1.0
LOAD_WAIT_SECONDS = 20.0
GUESTS = 2  # versions beside champion, previous and candidate that stay loaded: one that a gate asks, say
RETRY_SECONDS = 1.0
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Served:
    """What answers for a deployment now; `generation` rises with every flip.

    While a promotion is on `trial`, its `candidate` answers `share` percent (canary) or copies (shadow).
    """

    deployment: str
    version: str
    previous: str
    generation: int
    trial: str = ""
    candidate: str = ""
    share: int = 0
    salt: str = ""


class Router:
    """The versions in service. `tell` prints an event, `tick` is a monotonic clock in seconds."""

    def __init__(
        self,
        store: Store,
        server: Server,
        *,
        home: Path,
        pointer_path: Path,
        remembered_path: Path,
        tell: Callable[[str], None],
        tick: Callable[[], float],
    ) -> None:
        self.store, self.server = store, server
        self.served: dict[str, Served] = {}
        self.store_answers = True
        self.server_answers = False
        self.trouble = ""
        self._home, self._pointer_path = home, pointer_path
        self._remembered_path, self._remembered = remembered_path, ""
        self._tell, self._tick = tell, tick
        self._paths: dict[str, str] = {}
        self._places: dict[str, Place] = {}  # of what has served here, for when the store is away
        self._loaded: dict[str, float] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._in_flight: Counter[str] = Counter()
        self._known: dict[str, Route] = {}
        self._reading: asyncio.Task[list[Route]] | None = None
        self._failed: dict[str, float] = {}
        self._unknown: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Read the routes once, then follow them and the server until `stop`."""
        for route in pointers.recall(self._remembered_path):
            self._know(route)
        for version, place in pointers.recall_places(self._remembered_path).items():
            self._learn(version, *place)
        await self.follow()
        self._tasks = [
            asyncio.create_task(self._repeat(self.follow, POLL_SECONDS)),
            asyncio.create_task(self._repeat(self.watch, WATCH_SECONDS)),
        ]

    async def stop(self) -> None:
        """End the background tasks."""
        tasks = [*self._tasks, *self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def resolve(self, deployment: str, labels: Mapping[str, str] = _NO_LABELS) -> Served:
        """What answers a request for `deployment` with `labels` now: its segment's own version once that is loaded.

        Raises NotFound, or Unavailable before any version was loaded.
        """
        deployment = segments.resolve(deployment, labels, self.served)
        if (served := self.served.get(deployment)) is not None:
            return served
        if deployment in self._known or not (self._known or self.store_answers):
            raise Unavailable(f"No version of {deployment} is loaded yet.", "Try again in a few seconds.")
        raise NotFound(f"The model {deployment[:80]} does not exist.", "Ask GET /v1/models for those there are.")

    def pick(self, served: Served, unit: str) -> str:
        """The version that answers `unit`: in a canary the candidate for its share, once it is loaded."""
        on = served.trial == "canary" and self.ready(served.candidate)
        return served.candidate if on and drawn(served.salt, unit, served.share) else served.version

    async def answer(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        """The pieces of an answer by `request.version` and no other; a version that the server lost is loaded again."""
        with self._holding(request.version):
            await self.ensure(request.version)
            for attempt in (1, 2):
                pieces, begun = self.server.generate(request), False
                try:
                    async for piece in pieces:
                        begun = True
                        yield piece
                    return
                except NotLoaded:
                    if begun or attempt == 2:
                        raise Unavailable(
                            f"The model server lost {request.version} midway.", "Try again in a few seconds."
                        ) from None
                    self._loaded.pop(request.version, None)
                    await self.ensure(request.version)
                finally:
                    await pieces.aclose()

    async def ensure(self, version: str) -> None:
        """Return once `version` is loaded. Raises NotFound for an unknown one, Unavailable when it cannot be loaded."""
        if version in self._loaded:
            self._loaded[version] = self._tick()
            return
        task = self._begin_loading(version)
        try:
            await asyncio.wait_for(asyncio.shield(task), LOAD_WAIT_SECONDS)
        except TimeoutError:
            raise Unavailable(f"Loading {version} takes long.", "Try again in a few seconds.") from None

    async def follow(self) -> None:
        """Read routes and pointer, and flip what changed once its version is loaded."""
        await self._look()
        pointed = pointers.read(self._pointer_path)
        for route in list(self._known.values()):
            chosen = _choose(route, pointed.get(route.deployment))
            # A pointer that was left by another installation names what this one never had: nothing would be served.
            strange = self.store_answers and chosen.version in self._unknown
            self._flip(route if strange else chosen)

    async def _look(self) -> None:
        """Read the routes, but wait only a moment for a store that is silent: the pointer must be followed then."""
        if self._reading is None:
            self._reading = asyncio.create_task(asyncio.to_thread(self._read_routes))
        done, _ = await asyncio.wait({self._reading}, timeout=READ_SECONDS)
        if not done:
            self._store_is(False, "it is silent")
            return
        reading, self._reading = self._reading, None
        try:
            listed = reading.result()
        except Exception as error:
            # Whatever is wrong with the store, the pointer must be followed.
            self._store_is(False, str(error))
            return
        for route in listed:
            self._know(route)
        apart = {name for name in self._known if segments.MARK in name}
        for gone in apart - {route.deployment for route in listed}:
            # A segment that has no version of its own any more: whoever is in it is answered as everybody.
            del self._known[gone]
            if self.served.pop(gone, None) is not None:
                self._tell(f"{gone} is no longer set apart")
        self._store_is(True)
        self._keep(listed)

    def _store_is(self, answering: bool, why: str = "") -> None:
        if answering != self.store_answers:
            self._tell("the store answers again" if answering else f"the store does not answer: {why}")
        self.store_answers = answering

    async def watch(self) -> None:
        """Notice a server that restarted: load again what must be resident, and unload what nobody needs."""
        before = set(self._loaded)
        try:
            there = set(await self.server.versions())
        except TrimtabError as error:
            if self.server_answers:
                self._tell(f"the model server is away: {error}")
            self.server_answers = False
            return
        if not self.server_answers:
            self._tell("the model server answers")
            self._failed.clear()
        self.server_answers = True
        for lost in before - there:
            self._loaded.pop(lost, None)
            self._tell(f"the model server lost {lost}")
        resident = self._resident()
        for version in resident - set(self._loaded):
            self._try_loading(version)
        guests = sorted(set(self._loaded) - resident, key=lambda version: -self._loaded[version])
        for version in guests[GUESTS:]:
            if not self._in_flight[version]:
                del self._loaded[version]
                self._tell(f"unloading {version}")
                with contextlib.suppress(TrimtabError):
                    await self.server.unload(version)

    def loaded(self) -> list[str]:
        """The versions that can answer at once."""
        return sorted(self._loaded)

    def ready(self, version: str) -> bool:
        """Whether `version` can answer at once."""
        return version in self._loaded

    def in_flight(self) -> int:
        """Answers under way."""
        return sum(self._in_flight.values())

    def _flip(self, route: Route) -> None:
        now = self.served.get(route.deployment)
        trial = (route.trial, route.candidate, route.share, route.salt)
        then = Served(route.deployment, route.version, route.previous, route.generation, *trial)
        if now == then:
            return
        if route.version not in self._loaded:
            # Never waited for here: a version that loads slowly must not hold up a rollback to one that is there.
            self._try_loading(route.version)
            return
        self.served[route.deployment] = then
        if route.candidate and route.candidate not in self._loaded:
            self._try_loading(route.candidate)
        beside = f"; {route.trial} of {route.candidate}, {route.share} %" if route.trial else ""
        self._tell(f"{route.deployment} is answered by {route.version} (generation {route.generation}){beside}")

    def _try_loading(self, version: str) -> None:
        if self._tick() >= self._failed.get(version, 0.0):
            self._begin_loading(version)

    def _begin_loading(self, version: str) -> asyncio.Task[None]:
        task = self._loading.get(version)
        if task is None:
            task = self._loading[version] = asyncio.create_task(self._load(version))
            task.add_done_callback(lambda done: self._end_loading(version, done))
        return task

    async def _load(self, version: str) -> None:
        path = self._paths.get(version)
        if path is None:
            path = self._paths[version] = await asyncio.to_thread(self._locate, version)
        await self.server.load(version, path)

    def _end_loading(self, version: str, task: asyncio.Task[None]) -> None:
        self._loading.pop(version, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._loaded[version] = self._tick()
            self._failed.pop(version, None)
            self._unknown.discard(version)
            self.trouble = ""
            return
        self._failed[version] = self._tick() + RETRY_SECONDS
        if isinstance(error, NotFound):
            self._unknown.add(version)
        told = f"cannot load {version}: {error}"
        if told != self.trouble:
            self._tell(told)
        self.trouble = told

    def _read_routes(self) -> list[Route]:
        with self.store.read() as tx:
            listed = routes.listed(tx)
        return listed

    def _know(self, route: Route) -> None:
        self._known[route.deployment] = route
        self._learn(route.version, route.kind, route.path)
        if route.previous_kind:
            self._learn(route.previous, route.previous_kind, route.previous_path)
        if route.candidate_kind:
            self._learn(route.candidate, route.candidate_kind, route.candidate_path)

    def _learn(self, version: str, kind: str, path: str) -> None:
        self._places.setdefault(version, (kind, path))
        self._paths.setdefault(version, self._place(kind, path))

    def _keep(self, listed: list[Route]) -> None:
        """Keep the routes on disk: a gateway that starts while the store is away, and a rollback then, go by them."""
        if (shown := repr((listed, self._places))) != self._remembered:
            self._remembered = shown
            try:
                pointers.remember(self._remembered_path, listed)
                pointers.remember_places(self._remembered_path, self._places)
            except Unavailable as error:
                self._tell(f"the routes cannot be kept for when the store is away: {error}")

    def _locate(self, version: str) -> str:
        with self.store.read() as tx:
            found = routes.locate(tx, version)
        if found is None:
            raise NotFound(f"The version {version[:80]} does not exist.", "See the Models page for those there are.")
        return self._place(*found)

    def _place(self, kind: str, path: str) -> str:
        # A version's folder may be kept relative to the installation, so that it can be moved.
        return str(self._home / path) if path and kind in ("adapter", "base") else path

    def _resident(self) -> set[str]:
        serving = self.served.values()
        return {name for one in serving for name in (one.version, one.previous, one.candidate) if name}

    @contextlib.contextmanager
    def _holding(self, version: str) -> Iterator[None]:
        self._in_flight[version] += 1
        try:
            yield
        finally:
            self._in_flight[version] -= 1
            if not self._in_flight[version]:
                del self._in_flight[version]

    async def _repeat(self, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                # A fault in one round must not end the rounds: chat depends on them.
                self._tell(f"following the routes failed: {type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(seconds)


def _choose(route: Route, pointer: Pointer | None) -> Route:
    """The route, or where a newer pointer of its deployment sends it."""
    if pointer is None or pointer.generation <= route.generation:
        return route
    before = (route.version, route.kind, route.path)
    return replace(
        route,
        version=pointer.version,
        generation=pointer.generation,
        previous=before[0],
        previous_kind=before[1],
        previous_path=before[2],
        trial="",
        candidate="",
        candidate_kind="",
        candidate_path="",
        share=0,
        salt="",
    )
