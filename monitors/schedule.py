"""APScheduler as the clock of this process: one job a monitor, rebuilt from the tables that decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from store import monitors as rows
from store.unit_of_work import Store

# Rare monitors are the dear ones: they ask the model, for up to half an hour, and several have the same moment of the
# day. They wait for each other, and those that look every few seconds for none of them.
WORKERS, RARE_WORKERS = 4, 4
RARE_SECONDS = 600.0
RARE = "rare"
# A clock that is set back by more was wrong before, or is now.
SET_BACK = timedelta(seconds=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PREFIX = "monitor:"


class Schedule:
    """Calls `run(name)` for each enabled monitor at its interval. Jobs live in memory only."""

    def __init__(self, store: Store, run: Callable[[str], Any], clock: Callable[[], datetime]) -> None:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        self._store = store
        self._run = run
        self._clock = clock
        self._known: dict[str, float] = {}
        self._looked_at = EPOCH
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(WORKERS), RARE: ThreadPoolExecutor(RARE_WORKERS)},
            # Missed points fall together, and one monitor never runs twice at a time in this process.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )

    def start(self) -> None:
        """Start the clock and take the monitors from the store."""
        self._scheduler.start()
        self.refresh()

    def refresh(self) -> None:
        """Bring the jobs to what the store says now: new, paused and changed monitors.

        Where the clock was set back all are planned anew: those planned by a clock that was a day ahead would be due in
        a day, and nobody would look meanwhile.
        """
        now = self._clock()
        anew, self._looked_at = now < self._looked_at - SET_BACK, now
        with self._store.read(now) as tx:
            wanted = {str(row["name"]): _interval(row) for row in rows.listed(tx, enabled=True)}
        for name in set(self._known) - set(wanted):
            self._scheduler.remove_job(PREFIX + name)
        for name, seconds in wanted.items():
            if self._known.get(name) == seconds and not anew:
                continue
            self._scheduler.add_job(
                self._run,
                "interval",
                args=[name],
                executor=RARE if seconds >= RARE_SECONDS else "default",
                seconds=seconds,
                start_date=EPOCH,  # on the grid that ticks are claimed on
                id=PREFIX + name,
                replace_existing=True,
                next_run_time=now + _first_wait(seconds),
            )
        self._known = wanted

    def stop(self) -> None:
        """Stop the clock without waiting for runs in progress: their ticks are taken over after their lease."""
        self._scheduler.shutdown(wait=False)


def _first_wait(seconds: float) -> timedelta:
    """A start of the process is not the moment of rare monitors."""
    return timedelta(0) if seconds < RARE_SECONDS else timedelta(seconds=min(seconds / 24, 900))


def _interval(row: Mapping[Any, Any]) -> float:
    return max(float(row["every_seconds"]), 1.0)
