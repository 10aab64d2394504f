"""Carries notices from the outbox to the channels: at least once, with a key, backing off where it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from core.errors import IllegalMove, TrimtabError
from core.notify import Notice
from core.settings import Settings
from monitors.channels import Rejected, Retry, channels
from monitors.channels.webhook import ALLOW_PRIVATE
from store import alerts, outbox
from store import channels as rows
from store.outbox import Due
from store.unit_of_work import Store, Tx

log = logging.getLogger("trimtab.monitors")
FIRST_WAIT, LONGEST_WAIT = 2.0, 900.0
FAILING_AFTER = 3
SECONDS = 60.0
PATIENCE_SECONDS = 1.0


def back_off(attempt: int, key: str, asked: float | None = None) -> timedelta:
    """How long to wait after the `attempt`-th failure: doubling, spread by the notice's key, never below what the
    receiver asked for."""
    seconds = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (attempt - 1))
    spread = int.from_bytes(sha256(f"{key}/{attempt}".encode()).digest()[:2], "big") / 65_535
    return timedelta(seconds=max(seconds * (0.75 + 0.5 * spread), min(asked or 0.0, 3600.0)))


async def deliver(
    store: Store,
    settings: Settings,
    clock: Callable[[], datetime],
    under_way: dict[str, asyncio.Task[int]] | None = None,
) -> int:
    """Compose what changed, then send what is due; returns how many notices were sent.

    A channel that does not answer within PATIENCE_SECONDS is left under way by its name in `under_way`, and takes no
    more until it has ended, so that it keeps the notices of no other channel waiting. What went out meanwhile is
    counted by the call that finds it done.
    """
    lanes = {} if under_way is None else under_way

    def prepare() -> list[Due]:
        with store.read(clock()) as tx:
            if not outbox.has_work(tx, busy=lanes):
                return []
        with store.write(clock()) as tx:
            outbox.compose_due(tx, link=_link(settings))
            outbox.release_held(tx)
            return outbox.take_due(tx, busy=lanes)

    sent = _count_ended(lanes)
    due = await asyncio.to_thread(prepare)
    for channel in dict.fromkeys(one.channel for one in due):
        own = [one for one in due if one.channel == channel]
        lanes[channel] = asyncio.create_task(_send_all(store, settings, own, clock))
    if due:
        await asyncio.wait([lanes[one.channel] for one in due], timeout=PATIENCE_SECONDS)
    return sent + _count_ended(lanes)


async def send_test(store: Store, settings: Settings, name: str, now: datetime) -> None:
    """Send a test notice through the channel `name`. Raises TrimtabError with what went wrong."""
    with store.read(now) as tx:
        row = rows.get(tx, name)
    text = f"This is a test of the channel {name}. Nothing is wrong."
    body = {"title": "Trimtab: test", "alerts": [], "link": _link(settings), "test": True}
    notice = Notice(sha256(f"{name}/{now.isoformat()}".encode()).hexdigest()[:32], "Trimtab: test", text, body)
    try:
        async with asyncio.timeout(SECONDS):
            await _channel(row["kind"]).send(notice, _config(row["config"], settings), now=now)
    except (Retry, Rejected) as error:
        raise TrimtabError(f"The channel {name} failed: {error}.", "Check its configuration.") from None
    except TimeoutError:
        raise TrimtabError(f"The channel {name} did not answer in time.", "Check its address.") from None


def _count_ended(lanes: dict[str, asyncio.Task[int]]) -> int:
    """How many notices went out through the channels that have ended, which are free again."""
    ended = [lanes.pop(channel) for channel, task in list(lanes.items()) if task.done()]
    return sum(task.result() for task in ended)


async def _send_all(store: Store, settings: Settings, due: Sequence[Due], clock: Callable[[], datetime]) -> int:
    return sum(await asyncio.gather(*(_send(store, settings, one, clock) for one in due)))


async def _send(store: Store, settings: Settings, due: Due, clock: Callable[[], datetime]) -> bool:
    failure, wait, final = "", timedelta(0), False
    try:
        async with asyncio.timeout(SECONDS - 5):
            await _channel(due.kind).send(due.notice, _config(due.config, settings), now=clock())
    except Retry as error:
        failure, wait = str(error), back_off(due.attempts, due.notice.key, error.after_seconds)
    except TimeoutError:
        failure, wait = "no answer in time", back_off(due.attempts, due.notice.key)
    except Rejected as error:
        failure, final = str(error), True
    except Exception as error:
        failure, wait = f"failed ({type(error).__name__})", back_off(due.attempts, due.notice.key)

    def record() -> None:
        with store.write(clock()) as tx:
            try:
                if not failure:
                    outbox.sent(tx, due)
                elif final:
                    outbox.drop(tx, due, failure)
                else:
                    outbox.retry(tx, due, failure, wait)
            except IllegalMove:
                return  # a sender that took it over after our lease has already recorded the outcome
            _tell_of_channel(tx, due, failure, broken=final or due.attempts >= FAILING_AFTER)

    await asyncio.to_thread(record)
    if failure:
        log.warning("channel %s: %s", due.channel, failure)
    return not failure


def _tell_of_channel(tx: Tx, due: Due, failure: str, *, broken: bool) -> None:
    """A channel that fails is its own alert, carried by the other channels; one that works again ends it."""
    if failure and not broken:
        return
    finding = alerts.Finding(
        f"channel:{due.channel}",
        "system",
        bool(failure),
        f"The channel {due.channel} fails: {failure}." if failure else f"The channel {due.channel} works again.",
        why={"channel": due.channel, "attempts": due.attempts, "error": failure},
    )
    alerts.apply(tx, finding)


def _channel(kind: str) -> Any:
    return channels.get(kind)()


def _config(config: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    # The permission comes from the installation's settings alone: a row that claims it is overruled.
    return {**config, ALLOW_PRIVATE: settings.monitors.allow_private_webhooks}


def _link(settings: Settings) -> str:
    return settings.monitors.public_url or settings.dashboard_url
