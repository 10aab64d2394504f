"""The outbox: notices are composed from transitions in the store, and each is sent at least once under its key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from core.notify import Change, Notice, compose
from core.silences import Silence, covering
from core.states import NOTICE
from store import alerts, channels
from store.tables import alert_transitions, outbox
from store.tables import alerts as alerts_table
from store.tables import channels as channels_table
from store.unit_of_work import Tx

BATCH = 10_000
GIVE_UP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Due:
    """A notice to send now: `attempts` counts this one."""

    id: int
    channel: str
    kind: str
    config: Mapping[str, Any]
    notice: Notice
    attempts: int
    created_at: datetime


def compose_due(tx: Tx, *, link: str = "") -> int:
    """Turn every transition nobody was told of into notices for every enabled channel; returns how many.

    All that changed since the last tick makes one notice; what a silence covers makes one held notice a silence.
    """
    query = (
        sa.select(
            alert_transitions.c.id.label("transition"),
            alert_transitions.c.new,
            alert_transitions.c.reason,
            alerts_table.c.id,
            alerts_table.c.uuid,
            alerts_table.c.monitor,
            alerts_table.c.kind,
            alerts_table.c.severity,
        )
        .join(alerts_table, alerts_table.c.id == alert_transitions.c.alert_id)
        .where(alert_transitions.c.notified == sa.false())
        .order_by(alert_transitions.c.id)
        .limit(BATCH)
    )
    rows = tx.all(query)
    if not rows:
        return 0
    running = alerts.silences_now(tx)
    groups: dict[tuple[int, str], tuple[Silence | None, list[sa.RowMapping]]] = {}
    for row in rows:
        quiet = covering(running, row["monitor"], tx.now)
        failed = row["monitor"].removeprefix("channel:") if row["kind"] == "system" else ""
        groups.setdefault((quiet.id if quiet else 0, failed), (quiet, []))[1].append(row)
    written = 0
    receivers = channels.listed(tx, enabled=True)
    for (_, failed), (quiet, members) in groups.items():
        notice = compose([_change(row) for row in members], link=link)
        for channel in receivers:
            if channel["name"] == failed:
                continue  # a channel cannot carry the news of its own failure
            written += tx.insert_once(
                outbox,
                key=notice.key,
                channel_id=channel["id"],
                alert_id=members[0]["id"],
                notice={"title": notice.title, "text": notice.text, "body": dict(notice.body)},
                state="pending",
                next_at=quiet.ends_at if quiet else tx.now,
                created_at=tx.now,
                held_because=f"{quiet.by}: {quiet.reason}" if quiet else "",
            )
    ids = [row["transition"] for row in rows]
    for start in range(0, len(ids), 500):
        told = alert_transitions.c.id.in_(ids[start : start + 500])
        tx.execute(sa.update(alert_transitions).where(told).values(notified=True))
    return written


def has_work(tx: Tx, *, busy: Collection[str] = ()) -> bool:
    """Whether there is anything to compose, to release, or to send but through the channels `busy`: looked at without
    the write lock."""
    untold = sa.select(alert_transitions.c.id).where(alert_transitions.c.notified == sa.false()).limit(1)
    waiting = sa.select(outbox.c.id).where(*_due(tx, busy))
    return tx.one(untold) is not None or tx.one(waiting.limit(1)) is not None or bool(_held_otherwise(tx))


def release_held(tx: Tx) -> int:
    """Look again at held notices: send those whose alert still fires once no silence covers it, drop the others."""
    freed = 0
    for row, quiet in _held_otherwise(tx):
        if quiet is not None:
            tx.execute(sa.update(outbox).where(outbox.c.id == row["id"]).values(next_at=quiet.ends_at))
        elif row["state"] == "firing":
            tx.execute(
                sa.update(outbox)
                .where(outbox.c.id == row["id"])
                .values(next_at=tx.now, created_at=tx.now, held_because="")
            )
            freed += 1
        else:
            tx.move(outbox, NOTICE, row["id"], "dropped", last_error="The alert ended while it was silenced.")
    return freed


def take_due(
    tx: Tx, *, limit: int = 20, lease: timedelta = timedelta(seconds=60), busy: Collection[str] = ()
) -> list[Due]:
    """Take notices to send now, none of the channels `busy`. Nobody else takes them until `lease` has passed; then a
    dead sender's go out again."""
    query = (
        sa.select(outbox, channels_table.c.name, channels_table.c.kind, channels_table.c.config)
        .join(channels_table, channels_table.c.id == outbox.c.channel_id)
        .where(*_due(tx, busy))
        # What failed before comes last: a channel that is down, with hundreds to repeat, keeps no news waiting.
        .order_by(outbox.c.attempts, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=outbox)
    )
    due = []
    for row in tx.all(query):
        attempts = row["attempts"] + 1
        tx.execute(sa.update(outbox).where(outbox.c.id == row["id"]).values(attempts=attempts, next_at=tx.now + lease))
        notice = Notice(row["key"], row["notice"]["title"], row["notice"]["text"], row["notice"]["body"])
        due.append(Due(row["id"], row["name"], row["kind"], row["config"], notice, attempts, row["created_at"]))
    return due


def sent(tx: Tx, due: Due) -> None:
    """The receiver has it."""
    tx.move(outbox, NOTICE, due.id, "sent", sent_at=tx.now, last_error="")


def retry(tx: Tx, due: Due, message: str, after: timedelta) -> bool:
    """Try again after `after`; returns False when the notice is too old and was dropped instead."""
    if tx.now - due.created_at > GIVE_UP:
        tx.move(outbox, NOTICE, due.id, "dropped", last_error=f"Given up after a day: {message}")
        return False
    mine = outbox.c.id == due.id, outbox.c.state == "pending"
    tx.execute(sa.update(outbox).where(*mine).values(next_at=tx.now + after, last_error=message))
    return True


def drop(tx: Tx, due: Due, message: str) -> None:
    """Trying again cannot help."""
    tx.move(outbox, NOTICE, due.id, "dropped", last_error=message)


def _due(tx: Tx, busy: Collection[str]) -> tuple[sa.ColumnElement[bool], ...]:
    due = outbox.c.state == "pending", outbox.c.next_at <= tx.now, outbox.c.held_because == ""
    if not busy:
        return due
    return *due, outbox.c.channel_id.not_in(sa.select(channels_table.c.id).where(channels_table.c.name.in_(list(busy))))


def _held_otherwise(tx: Tx) -> list[tuple[sa.RowMapping, Silence | None]]:
    """The held notices whose silence is over or ends at another time now, each with the silence that covers it."""
    running = alerts.silences_now(tx)
    query = (
        sa.select(outbox.c.id, outbox.c.next_at, alerts_table.c.monitor, alerts_table.c.state)
        .join(alerts_table, alerts_table.c.id == outbox.c.alert_id)
        .where(outbox.c.state == "pending", outbox.c.held_because != "")
    )
    found = [(row, covering(running, row["monitor"], tx.now)) for row in tx.all(query)]
    return [(row, quiet) for row, quiet in found if quiet is None or quiet.ends_at != row["next_at"]]


def _change(row: Mapping[Any, Any]) -> Change:
    return Change(row["uuid"], row["monitor"], row["new"], row["severity"], row["reason"], row["transition"])
