"""One run of one monitor: claim the tick, draw, measure, keep, judge, alert. What goes wrong becomes an Error alert."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, TypeVar

from core.errors import Conflict, InvalidInput, TrimtabError, Unavailable
from core.roles import Action
from core.types import Measurement
from monitors import evidence, looks, mending, sequence, verdict
from monitors.effects import Effects, parameter
from monitors.metrics import metrics
from monitors.reference import Asked
from store import accounts
from store import monitors as rows
from store.monitors import Tick

log = logging.getLogger("trimtab.monitors")
LEASE = timedelta(seconds=30)
RENEW_SECONDS = 8.0
TIMEOUT_SECONDS = 300.0
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, for the log and for whoever asked for it."""

    monitor: str
    state: str
    message: str = ""
    fired: tuple[str, ...] = ()


def run_due(name: str, effects: Effects) -> Outcome | None:
    """Run the monitor `name` for the present point of its grid; None when that is done, running or paused."""
    now = effects.clock()
    # Looking first keeps a second scheduler from taking SQLite's one write lock at every tick of the first.
    with effects.store.read(now) as tx:
        monitor = rows.get(tx, name)
        at = rows.slot(now, monitor["every_seconds"])
        if not monitor["enabled"] or rows.is_taken(tx, monitor, at):
            return None
    with effects.store.write(now) as tx:
        monitor = rows.get(tx, name)
        if not monitor["enabled"]:
            return None
        at = rows.slot(now, monitor["every_seconds"])
        tick = rows.claim_tick(tx, monitor, at, process=effects.process, lease=LEASE)
    return None if tick is None else run(monitor, tick, effects)


def run_now(name: str, effects: Effects, params: Mapping[str, Any] | None = None) -> Outcome | None:
    """Run the monitor `name` at this moment because somebody asked; None when it is running already.

    `params` take the place of the monitor's own for this one run.
    """
    now = effects.clock()
    with effects.store.write(now) as tx:
        monitor = rows.get(tx, name)
        tick = rows.claim_tick(tx, monitor, now, process=effects.process, lease=LEASE)
    once = {**monitor, "params": {**monitor["params"], **(params or {})}}
    return None if tick is None else run(once, tick, effects)


def take_reference(name: str, asked: Asked, effects: Effects) -> Outcome | None:
    """Let the monitor compare with the window that was asked for, then look; None while it is running.

    Raises what `reference.plan` refuses, Forbidden for a role that may not, and InvalidInput for a monitor that
    compares with nothing. A refusal is no failure of the monitor: it raises no alert.
    """
    now = effects.clock()
    with effects.store.read(now) as tx:
        monitor = rows.get(tx, name)
    # Outside a transaction: the first metric of a process loads scipy, and nobody could write meanwhile.
    metric = metrics.get(monitor["metric"])
    if metric.guarantee != "budget":
        raise InvalidInput(f"{name} compares with no reference.", "It is held to a plain limit; change that.")
    with effects.store.write(now) as tx:
        accounts.require(tx, asked.actor, Action.TAKE_REFERENCE)
        tick = rows.claim_tick(tx, monitor, now, process=effects.process, lease=LEASE)
    if tick is None:
        return None
    try:
        _in_time(
            lambda: sequence.take_reference(monitor, metric, tick, effects, asked), name, tick, effects, TIMEOUT_SECONDS
        )
    except Exception as error:
        with effects.store.write(effects.clock()) as tx:
            rows.finish_tick(tx, tick, message=describe(error, TIMEOUT_SECONDS))
        raise
    return run(monitor, tick, effects)


def run(monitor: Mapping[Any, Any], tick: Tick, effects: Effects) -> Outcome:
    """Carry out a claimed run. Never raises: an error, a time-out or a lost claim is the outcome."""
    name = str(monitor["name"])
    seconds = parameter(monitor["params"], "timeout_seconds", TIMEOUT_SECONDS)
    try:
        fired = _in_time(lambda: _work(monitor, tick, effects), name, tick, effects, seconds)
        with effects.store.write(effects.clock()) as tx:
            rows.finish_tick(tx, tick)
    except Conflict as error:
        return Outcome(name, "dropped", error.message)
    except Exception as error:
        message = describe(error, seconds)
        if not isinstance(error, TrimtabError | FutureTimeout):
            log.exception("%s: %s", name, message)
        return _failed(monitor, tick, effects, message)
    for uuid in fired:
        _add_evidence(name, uuid, effects)
    return Outcome(name, "done", fired=tuple(fired))


def describe(error: Exception, seconds: float) -> str:
    """A failure in one sentence without captured text: our own words, or the kind of a foreign error."""
    if isinstance(error, FutureTimeout):
        return f"The run took longer than {seconds:g} seconds and was given up."
    if isinstance(error, TrimtabError):
        return f"{error.message} {error.remedy}".strip()
    return f"The run failed with {type(error).__name__}; the process's log has the details."


def _in_time(work: Callable[[], Done], name: str, tick: Tick, effects: Effects, seconds: float) -> Done:
    """Do the work in a thread, renewing the tick's lease while it lasts. After `seconds` it is left behind: it can no
    longer write anything once its tick has ended. While such a thread of the monitor lives no other is begun, so that
    one that waits for ever leaves one thread, not one more at each look: raises Unavailable then."""
    before = effects.left.get(name)
    if before is not None and not before.done():
        raise Unavailable(
            "An earlier run was given up and still hangs, so that none is begun beside it.",
            "Look at what it asks, the model server or the database; if it stays so, restart the monitors' process.",
        )
    pool = ThreadPoolExecutor(1, thread_name_prefix=f"monitor-{name}")
    future = pool.submit(work)
    effects.left[name] = future
    try:
        left = seconds
        while True:
            wait = min(RENEW_SECONDS, left)
            try:
                return future.result(timeout=wait)
            except FutureTimeout:
                if future.done():
                    return future.result()
                left -= wait
                if left <= 0:
                    raise
                if not _renew(tick, effects):
                    raise Conflict("Another process took this run over.", "Its result is dropped.") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _renew(tick: Tick, effects: Effects) -> bool:
    """Whether the tick is still this process's, as far as one can tell."""
    try:
        with effects.store.write(effects.clock()) as tx:
            return rows.renew_tick(tx, tick, LEASE)
    except Unavailable:
        return True  # the lease outlasts a store that is away for a moment; who lost it learns so as it writes


def _work(monitor: Mapping[Any, Any], tick: Tick, effects: Effects) -> list[str]:
    metric = metrics.get(monitor["metric"])
    if metric.guarantee == "budget":
        return sequence.run(monitor, metric, tick, effects)
    seed = int.from_bytes(sha256(f"{monitor['name']}/{tick.scheduled_for.isoformat()}".encode()).digest()[:4], "big")
    look = looks.measure(monitor, metric, effects, seed=seed)
    if not look.measured:
        raise Unavailable(f"{monitor['name']} measured nothing.", "Check its parameters.")
    measured = verdict.judge(look.measured, monitor["rule"], monitor["metric"])
    drawn = look.window
    with effects.store.write(effects.clock()) as tx:
        rows.require_tick(tx, tick)
        for measurement in measured:
            rows.measure(
                tx,
                monitor["id"],
                measurement,
                tick_id=tick.id,
                version=look.version,
                first_id=drawn.first,
                last_id=drawn.last,
            )
        return sequence.raise_findings(tx, verdict.findings(monitor, measured))


def _failed(monitor: Mapping[Any, Any], tick: Tick, effects: Effects, message: str) -> Outcome:
    measurement: Measurement = verdict.failed(monitor["metric"], message)
    try:
        with effects.store.write(effects.clock()) as tx:
            rows.finish_tick(tx, tick, message=message, failed=True)
            rows.measure(tx, monitor["id"], measurement, tick_id=tick.id)
            sequence.raise_findings(tx, verdict.findings(monitor, [measurement]))
    except TrimtabError as error:
        return Outcome(str(monitor["name"]), "dropped", error.message)
    return Outcome(str(monitor["name"]), "failed", message)


def _add_evidence(name: str, alert: str, effects: Effects) -> None:
    """Attach what would mend the shift, and the evidence page, to a fired alert: after the alert is out, because both
    take long and may fail."""
    for what, attach in (("mending", mending.attach), ("evidence page", evidence.attach)):
        try:
            attach(alert, effects)
        except Exception as error:
            log.warning("%s: no %s for alert %s (%s)", name, what, alert, type(error).__name__)
