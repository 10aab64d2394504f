"""Keeps what passed through: one writer thread, many rows a commit. A chat never waits for it; feedback, and exchanges
that are sent in, always do."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from datetime import datetime

from core.errors import TrimtabError, Unavailable
from core.types import Feedback, Inference
from store import feedback, inferences
from store.unit_of_work import Store, Tx

BATCH = 500
MOST_BYTES = 64 * 1024 * 1024
RETRY_SECONDS = 0.25


@dataclass(slots=True)
class _Job:
    rows: Sequence[Inference]
    size: int
    done: Future[bool] | None = None
    said: Feedback | None = None

    @property
    def count(self) -> int:
        """How many rows it is."""
        return len(self.rows) + (self.said is not None)


@dataclass(slots=True)
class Counts:
    """What became of captures since the start. `dropped` says why, by reason."""

    written: int = 0
    feedback: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    commits: int = 0

    def drop(self, reason: str, number: int = 1) -> None:
        """Count captures that were given up."""
        self.dropped[reason] = self.dropped.get(reason, 0) + number


class Capture:
    """A bounded queue and the thread that empties it into the store. `tell` prints an event, `now` gives the time."""

    def __init__(self, store: Store, *, limit: int, now: Callable[[], datetime], tell: Callable[[str], None]) -> None:
        self.counts = Counts()
        self.trouble = ""
        self._store, self._limit, self._now, self._tell = store, limit, now, tell
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Two counters with one writer each, so that neither side needs a lock.
        self._bytes_in = self._bytes_out = 0
        self._jobs_in = self._jobs_out = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, seconds: float) -> int:
        """Write what is queued, for at most so long, and end. Returns how many rows were left behind."""
        self._stopping.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(seconds)
        return self.waiting()

    def waiting(self) -> int:
        """Rows in memory that are not committed yet."""
        return self._jobs_in - self._jobs_out

    def keep(self, row: Inference) -> bool:
        """Queue a captured exchange; returns False (and counts) when there is no room. Never waits."""
        return self._put(_Job((row,), _size(row)))

    def acknowledge(self, item: Feedback) -> Future[bool]:
        """Queue feedback; the future is done once it is committed (False: it was there already).

        Raises Unavailable at once when the store is away or there is no room.
        """
        return self._promise(_Job((), len(item.chosen) + len(item.rejected) + len(item.comment) + 512, said=item))

    @property
    def portion(self) -> int:
        """How many exchanges that were sent in are queued together at most."""
        return max(1, min(BATCH, self._limit // 4))

    def acknowledge_rows(self, rows: Sequence[Inference]) -> Future[bool]:
        """Queue at most a portion of exchanges that were sent in; the future is done once all of them are committed.

        Raises Unavailable at once when the store is away or there is no room: half of it is kept for chats.
        """
        if self.waiting() + len(rows) > self._limit / 2:
            raise _full()
        return self._promise(_Job(rows, sum(map(_size, rows))))

    def _promise(self, job: _Job) -> Future[bool]:
        if self.trouble:
            raise Unavailable(self.trouble, "Send it again later.")
        job.done = Future()
        if not self._put(job):
            raise _full()
        return job.done

    def _put(self, job: _Job) -> bool:
        if self._stopping.is_set():
            reason = "stopping"
        elif self.waiting() + job.count > self._limit or self._bytes_in - self._bytes_out + job.size > MOST_BYTES:
            reason = "full"
        else:
            self._jobs_in += job.count
            self._bytes_in += job.size
            self._jobs.put(job)
            return True
        if job.done is None:
            self.counts.drop(reason)
        return False

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            # A caller that gave up waiting was told so; its feedback must then not appear later.
            live = [job for job in batch if job.done is None or job.done.set_running_or_notify_cancel()]
            if live:
                self._write(live)
            self._jobs_out += sum(job.count for job in batch)
            self._bytes_out += sum(job.size for job in batch)

    def _take(self) -> list[_Job] | None:
        first = self._next()
        if first is None:
            return None
        batch, rows = [first], first.count
        while rows < BATCH:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
            rows += job.count
        return batch

    def _write(self, jobs: Sequence[_Job]) -> None:
        """Commit `jobs`, waiting for a store that is away; feedback is not made to wait with it."""
        waiting = list(jobs)
        while waiting:
            try:
                outcomes = self._commit(waiting)
            except Unavailable as error:
                if not self.trouble:
                    self._tell(f"captures wait in memory: {error}")
                self.trouble = error.message
                for job in waiting:
                    _settle(job, error)
                waiting = [job for job in waiting if job.done is None]
                if self._stopping.wait(RETRY_SECONDS):
                    self.counts.drop("store away", len(waiting))
                    self._tell(f"{len(waiting)} captures are given up: {error.message}")
                    return
            except Exception as error:
                self._write_apart(waiting, error)
                return
            else:
                self._recovered()
                for job, outcome in zip(waiting, outcomes, strict=True):
                    _settle(job, outcome)
                return

    def _commit(self, jobs: Sequence[_Job]) -> list[bool | TrimtabError]:
        outcomes: list[bool | TrimtabError] = [True] * len(jobs)
        with self._store.write(self._now()) as tx:
            inferences.record(tx, [row for job in jobs for row in job.rows])
            for index, job in enumerate(jobs):
                if job.said is not None:
                    outcomes[index] = _record_feedback(tx, job.said)
        self.counts.commits += 1
        self.counts.written += sum(len(job.rows) for job in jobs)
        self.counts.feedback += sum(job.said is not None for job in jobs)
        return outcomes

    def _write_apart(self, jobs: Sequence[_Job], error: Exception) -> None:
        """One row in a batch that the store refuses must not take the others with it."""
        if len(jobs) > 1:
            for job in jobs:
                self._write([job])
            return
        self._tell(f"a capture was refused by the store: {type(error).__name__}")
        if jobs[0].done is None:
            self.counts.drop("refused")
        _settle(jobs[0], error)

    def _next(self) -> _Job | None:
        while True:
            try:
                return self._jobs.get(timeout=RETRY_SECONDS if self.trouble else None)
            except queue.Empty:
                self._look()

    def _look(self) -> None:
        """See whether the store is back: who waits for a commit is refused meanwhile, and nothing else may come."""
        try:
            with self._store.write(self._now()):
                pass
        except Exception:  # still away; whatever it is must not end the thread, and the next commit tells it
            return
        self._recovered()

    def _recovered(self) -> None:
        if self.trouble:
            self._tell("the store takes captures again")
        self.trouble = ""


def _full() -> Unavailable:
    return Unavailable("Too much waits to be written.", "Send it again later.")


def _size(row: Inference) -> int:
    """About how many bytes it holds."""
    return len(row.response) + sum(len(str(message.get("content", ""))) for message in row.messages) + 512


def _record_feedback(tx: Tx, item: Feedback) -> bool | TrimtabError:
    try:
        return feedback.record(tx, item)
    except TrimtabError as error:
        return error


def _settle(job: _Job, outcome: bool | Exception) -> None:
    if job.done is None:
        return
    try:
        if isinstance(outcome, Exception):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)
    except InvalidStateError:  # the caller gave up at this moment
        pass
