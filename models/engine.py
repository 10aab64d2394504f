"""The one thread that owns the model: it admits requests, steps the decoder, loads, scores and prints in between."""

import gc
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import Conflict, TrimtabError, Unavailable
from core.ports import ExpertLoad, Fingerprint
from models.adapters import Versions
from models.artefacts import digest, is_adapter
from models.fingerprint import take_fingerprint
from models.generate import Decoder
from models.load import Base
from models.requests import Piece, Request
from models.score import Score, score
from models.whole import Resident, load_whole

IDLE_SECONDS = 0.5
# Passes of a print between two steps of the answers: whoever waits for a proof waits on a release or a rollback, and
# an answer is held up by no more than so many passes at a time.
PRINT_PASSES = 2
# Requests that wait for their first token go before a print for so many seconds: the first answer of an earlier version
# counts before its proof, but a proof that never comes would be worth nothing.
PRINT_PATIENCE = 1.5
RATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """Work between the steps of the answers: what computes it part by part, who waits for it, parts at a time."""

    steps: Generator[None, None, Any]
    future: Future[Any]
    parts: int
    since: float


class Engine:
    """Answers from one base and its versions; every public method may be called from any thread.

    `load` builds the base on the decoding thread, so that a server can say "loading" meanwhile; `clock` is monotonic
    seconds, `effort` those that the thread which asks computed, for a base on a processor. `status` is loading, ready,
    failed or stopping.
    """

    def __init__(
        self,
        load: Callable[[], Base],
        clock: Callable[[], float],
        *,
        effort: Callable[[], float] | None = None,
        rows: int = 24,
        queue: int = 64,
        tokens: int = 65536,
    ) -> None:
        self.load_base, self.clock, self.effort = load, clock, effort
        self.rows, self.queue_limit, self.tokens = rows, queue, tokens
        self.status, self.detail = "loading", ""
        self.base: Base | None = None
        self.versions: Versions | None = None
        self.decoder: Decoder | None = None
        self.whole: dict[str, Resident] = {}
        self.waiting: deque[Request] = deque()
        self.tasks: deque[Task] = deque()
        self.leaving: set[str] = set()
        self.rate: deque[tuple[float, int]] = deque()
        self.wake = threading.Condition()
        self.thread = threading.Thread(target=self.run, name="decoder", daemon=True)

    def start(self) -> None:
        """Starts the decoding thread, which loads the base first."""
        self.thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Ends the thread after the current step; answers still running end with an error."""
        with self.wake:
            self.status = "stopping"
            self.wake.notify_all()
        self.thread.join(timeout)

    def ready(self) -> Base:
        """The base. Raises Unavailable while it is loading, after it failed and while the server stops."""
        if self.status != "ready" or self.base is None:
            reason = f": {self.detail}" if self.detail else ""
            raise Unavailable(f"The model server is {self.status}{reason}.", "Try again in a few seconds.")
        return self.base

    def names(self) -> list[str]:
        """Versions that answer now, without the base."""
        known = [*(self.versions.names() if self.versions else []), *self.whole]
        return sorted(name for name in known if name not in self.leaving)

    def submit(self, request: Request) -> None:
        """Queues a request. Raises NotFound for a version that is not loaded and Unavailable when the queue is full."""
        self.ready()
        with self.wake:
            if request.version in self.leaving:
                raise Unavailable(f"The version {request.version} is being unloaded.", "Ask for another version.")
            self.find(request.version)
            if len(self.waiting) >= self.queue_limit:
                raise Unavailable(f"The queue is full ({self.queue_limit} requests wait).", "Try again in a second.")
            request.submitted = self.clock()
            self.waiting.append(request)
            self.wake.notify_all()

    def load(self, name: str, path: Path) -> "Future[str]":
        """Loads an adapter, or a whole model beside the base, which answers wait for; the result is its digest."""

        def task() -> Generator[None, None, str]:
            yield
            return self.take_in(name, path.expanduser())

        return self.call(task)

    def take_in(self, name: str, path: Path) -> str:
        """Loads what is in `path` as `name`; the same content again changes nothing. Raises Conflict for other."""
        assert self.base is not None and self.versions is not None
        if is_adapter(path) or not (path / "config.json").is_file():
            if name in self.whole:
                raise Conflict(f"The version {name} is already loaded, as a whole model.", "Use a new name.")
            return self.versions.load(name, path).digest
        known = self.whole[name].versions if name in self.whole else self.versions
        if name in known.loaded:
            if known.loaded[name].digest != digest(path):
                raise Conflict(f"The version {name} is already loaded with other content.", "Use a new name.")
            return known.loaded[name].digest
        versions = load_whole(name, path, self.base)
        self.whole[name] = Resident(versions, self.build_decoder(versions))
        return versions.base.digest

    def build_decoder(self, versions: Versions) -> Decoder:
        effort = self.effort if versions.base.device == "cpu" else None
        return Decoder(versions.base, versions, self.clock, effort=effort, rows=self.rows, tokens=self.tokens)

    def find(self, name: str) -> Resident:
        """The model that answers for the version `name`. Raises NotFound."""
        if name in self.whole:
            return self.whole[name]
        assert self.versions is not None and self.decoder is not None
        self.versions.require(name)
        return Resident(self.versions, self.decoder)

    def decoders(self) -> list[Decoder]:
        """What decodes for the base and its adapters, and for each whole model."""
        first = [self.decoder] if self.decoder is not None else []
        # A copy made at once: other threads ask while the decoding one loads and unloads.
        return first + [resident.decoder for resident in list(self.whole.values())]

    def unload(self, name: str) -> "Future[bool]":
        """Unloads a version once no answer uses it; the result is False when it was not loaded. Raises as `call`."""
        # Nothing may be leaving that nobody will ever unload: it could not be used again.
        self.ready()
        with self.wake:
            self.leaving.add(name)

        def task() -> Generator[None, None, bool]:
            assert self.versions is not None
            try:
                while self.uses(name):
                    yield
                if self.whole.pop(name, None) is None:
                    return self.versions.unload(name)
                # A module refers to itself in circles, and the next collection may be far off.
                gc.collect()
                return True
            finally:
                self.leaving.discard(name)

        return self.call(task)

    def score(self, name: str, items: list[tuple[list[int], list[int]]]) -> "Future[list[Score]]":
        """Scores (prompt, completion) token pairs in their order."""

        def task() -> Generator[None, None, list[Score]]:
            versions = self.find(name).versions
            found: dict[int, Score] = {}
            for part in score(versions.base, versions, name, items):
                found.update(part)
                yield
            return [found[index] for index in range(len(items))]

        return self.call(task)

    def fingerprint(self, name: str) -> "Future[Fingerprint]":
        """The print of a version."""

        def task() -> Generator[None, None, Fingerprint]:
            versions = self.find(name).versions
            return (yield from take_fingerprint(versions.base, versions, name))

        return self.call(task, parts=PRINT_PASSES)

    def experts(self, name: str) -> "Future[ExpertLoad | None]":
        """Where the newest answers of a version sent their tokens; None for a model without experts."""

        def task() -> Generator[None, None, ExpertLoad | None]:
            yield
            experts = self.find(name).decoder.experts
            return experts.tell(name) if experts is not None else None

        return self.call(task)

    def call(self, task: Callable[[], Generator[None, None, Any]], parts: int = 1) -> "Future[Any]":
        """Runs a task on the decoding thread, `parts` of it between two steps; raises Unavailable when not ready.

        Tasks of one part take turns; one of several goes before them until it is done.
        """
        self.ready()
        future: Future[Any] = Future()
        with self.wake:
            place = self.tasks.append if parts == 1 else self.tasks.appendleft
            place(Task(task(), future, parts, self.clock()))
            self.wake.notify_all()
        return future

    def uses(self, name: str) -> bool:
        """True while an answer of the version is waiting or running."""
        running = [row.request for decoder in self.decoders() for row in decoder.rows()]
        return any(request.version == name for request in [*self.waiting, *running])

    def running(self) -> int:
        """Answers under way."""
        return sum(len(decoder.rows()) for decoder in self.decoders())

    def tokens_per_second(self) -> float:
        """Tokens made in the last ten seconds, a second."""
        now = self.clock()
        return sum(made for at, made in list(self.rate) if now - at <= RATE_SECONDS) / RATE_SECONDS

    def run(self) -> None:
        """The body of the decoding thread."""
        try:
            self.base = self.load_base()
            self.versions = Versions(self.base)
            self.decoder = self.build_decoder(self.versions)
        except Exception as error:  # reported by /health: the process stays up to say why
            self.detail = str(error) if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"[:300]
            self.status = "failed"
            return
        if self.status == "loading":
            self.status = "ready"
        while self.status == "ready":
            if not self.turn():
                with self.wake:
                    if not self.waiting and not self.tasks and self.status == "ready":
                        self.wake.wait(IDLE_SECONDS)
        for decoder in self.decoders():
            decoder.abandon("The model server is stopping.")
        self.refuse_rest()

    def turn(self) -> bool:
        """One round: admit and step with each model, the next part of a task. False when there was nothing to do."""
        worked = [self.decode(decoder) for decoder in self.decoders()]
        return self.advance_task() or any(worked)

    def decode(self, decoder: Decoder) -> bool:
        """Admit and step with one model; False when there was nothing to do."""
        with self.wake:
            self.drop_cancelled()
            own = [request for request in self.waiting if self.find(request.version).decoder is decoder]
            admitted = own[: decoder.room(own)]
            for request in admitted:
                self.waiting.remove(request)
        made = decoder.made
        try:
            if admitted:
                decoder.admit(admitted)
            worked = decoder.step()
        except Exception as error:  # one broken step must not end the server: its answers fail, the next ones go on
            decoder.abandon(f"Decoding failed ({type(error).__name__}).")
            worked = True
        if decoder.made > made:
            now = self.clock()
            self.rate.append((now, decoder.made - made))
            while now - self.rate[0][0] > RATE_SECONDS:
                self.rate.popleft()
        return worked

    def drop_cancelled(self) -> None:
        for request in [request for request in self.waiting if request.cancelled]:
            self.waiting.remove(request)
            request.emit(Piece("", "cancelled"))

    def advance_task(self) -> bool:
        """The next parts of the first task; a task that waits for answers goes to the back."""
        if not self.tasks or self.postponed(self.tasks[0]):
            return False
        task = self.tasks.popleft()
        try:
            for _ in range(task.parts):
                next(task.steps)
            place = self.tasks.append if task.parts == 1 else self.tasks.appendleft
            place(task)
        except StopIteration as done:
            task.future.set_result(done.value)
        except Exception as error:
            task.future.set_exception(error)
        return True

    def postponed(self, task: Task) -> bool:
        """True while a print stands behind requests that have no token yet, PRINT_PATIENCE seconds at most."""
        untold = bool(self.waiting) or any(decoder.reading is not None for decoder in self.decoders())
        return task.parts > 1 and untold and self.clock() - task.since < PRINT_PATIENCE

    def refuse_rest(self) -> None:
        """Ends what is still queued when the server stops."""
        while self.tasks:
            task = self.tasks.popleft()
            task.steps.close()
            task.future.set_exception(Unavailable("The model server is stopping.", "Try again in a few seconds."))
        while self.waiting:
            self.waiting.popleft().emit(Piece("", "error", error="The model server is stopping."))
