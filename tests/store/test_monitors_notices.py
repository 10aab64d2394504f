"""Notices: one a tick for all that changed, at least once under one key, held by silences, backing off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.notify import Notice
from core.settings import MonitorSettings
from monitors import delivery
from monitors.channels import Rejected, Retry, channels
from store import accounts, alerts, audit, outbox
from store import channels as channel_rows
from store.tables import alert_transitions
from store.unit_of_work import Store
from tests.monitors_world import World, world_on


class Receiver:
    """A channel that answers as told and remembers what came."""

    def __init__(self) -> None:
        self.got: list[Notice] = []
        self.answers: list[Exception | None] = []

    def __call__(self) -> Receiver:
        return self

    async def send(self, notice: Notice, config: Mapping[str, Any], *, now: datetime) -> None:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.got.append(notice)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    made = Receiver()
    known = channels.get
    monkeypatch.setattr(channels, "get", lambda name: made if name == "fake" else known(name))
    return made


@pytest.fixture
def world(empty_store: Store, tmp_path: Path) -> World:
    made = world_on(empty_store, tmp_path, monitors=MonitorSettings(public_url="https://console.example"))
    with made.store.write(made.now) as tx:
        channel_rows.add(tx, "pager", "fake", {}, actor="system:test")
        accounts.create(tx, "olga", "a long password 1", "operator", actor="system:setup")
    return made


def change(world: World, breach: bool, monitor: str = "errors", *, kind: Any = "rule") -> None:
    with world.store.write(world.now) as tx:
        alerts.apply(tx, alerts.Finding(monitor, kind, breach, f"{monitor} is {breach}."))


def deliver(world: World, seconds: float = 0.0) -> int:
    world.now += timedelta(seconds=seconds)
    return asyncio.run(delivery.deliver(world.store, world.settings, lambda: world.now))


def test_everything_that_changed_makes_one_notice(world: World, receiver: Receiver) -> None:
    for number in range(200):
        change(world, True, f"monitor-{number}")
    assert deliver(world) == 1
    assert deliver(world, 60) == 0
    (notice,) = receiver.got
    assert notice.title == "Trimtab: 200 firing"
    assert notice.body["link"] == "https://console.example"
    assert len(notice.body["alerts"]) == 200


def test_firing_and_resolved_are_both_told_and_pending_is_not(world: World, receiver: Receiver) -> None:
    with world.store.write(world.now) as tx:
        alerts.apply(tx, alerts.Finding("slow", "rule", True, "slow", hold=timedelta(minutes=5)))
    assert deliver(world) == 0
    change(world, True)
    deliver(world)
    change(world, False)
    deliver(world)
    assert [n.body["alerts"][0]["state"] for n in receiver.got] == ["firing", "resolved"]


def test_a_failed_send_is_repeated_with_the_same_key_later_and_later(world: World, receiver: Receiver) -> None:
    receiver.answers = [Retry("answered 500"), Retry("answered 429", 90.0), None]
    change(world, True)
    assert deliver(world) == 0
    assert deliver(world, 1) == 0 and len(receiver.answers) == 2
    assert deliver(world, 5) == 0
    assert deliver(world, 80) == 0
    assert deliver(world, 20) == 1
    (row,) = world.waiting()
    assert row["state"] == "sent" and row["attempts"] == 3 and receiver.got[0].key == row["key"]


def test_a_channel_that_hangs_keeps_no_other_waiting(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that accepts and never answers, with more for it than is sent at a time, beside one that answers."""
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.05)
    known, hung = channels.get, list[Notice]()
    with world.store.write(world.now) as tx:
        channel_rows.add(tx, "ahead", "hanging", {}, actor="system:test")
        channel_rows.set_enabled(tx, "pager", False, actor="system:test")
    for number in range(25):
        change(world, True, f"monitor-{number}")
        with world.store.write(world.now) as tx:
            outbox.compose_due(tx)
    with world.store.write(world.now) as tx:
        channel_rows.set_enabled(tx, "pager", True, actor="system:test")

    async def follow() -> None:
        ending = asyncio.Event()

        class Hanging:
            async def send(self, notice: Notice, config: Mapping[str, Any], *, now: datetime) -> None:
                hung.append(notice)
                await ending.wait()

        monkeypatch.setattr(channels, "get", lambda name: Hanging if name == "hanging" else known(name))
        under_way: dict[str, asyncio.Task[int]] = {}

        async def turn() -> int:
            world.now += timedelta(seconds=2)
            return await delivery.deliver(world.store, world.settings, lambda: world.now, under_way)

        async def send(wanted: int) -> None:
            async with asyncio.timeout(20):
                while (wanted := wanted - await turn()) > 0:
                    await asyncio.sleep(0.01)
            assert wanted == 0

        assert await turn() == 0 and len(hung) == 20
        change(world, True)
        await send(1)
        assert [n.title for n in receiver.got] == ["Trimtab: errors firing"]
        change(world, False)
        await send(1)
        assert len(hung) == 20, "it takes no more while it hangs"
        with world.store.read(world.now) as tx:
            assert not outbox.has_work(tx, busy=under_way) and outbox.has_work(tx)
        ending.set()
        await send(20 + 7)

    asyncio.run(follow())
    assert {row["state"] for row in world.waiting()} == {"sent"}


def test_what_is_to_be_repeated_keeps_no_news_waiting(world: World, receiver: Receiver) -> None:
    """A channel that has been down for a while has more to repeat than is sent at a time."""
    for number in range(25):
        change(world, True, f"monitor-{number}")
        with world.store.write(world.now) as tx:
            outbox.compose_due(tx)
    receiver.answers = [Retry("no answer")] * 25
    assert deliver(world) == deliver(world) == 0 and not receiver.answers
    world.now += timedelta(seconds=30)
    change(world, True, "news")
    with world.store.write(world.now) as tx:
        outbox.compose_due(tx)
        taken = outbox.take_due(tx)
    assert len(taken) == 20
    assert [due.notice.body["alerts"][0]["monitor"] for due in taken[:2]] == ["news", "monitor-0"]


def test_a_killed_sender_leaves_the_notice_to_the_next_one(world: World, receiver: Receiver) -> None:
    change(world, True)
    with world.store.write(world.now) as tx:
        outbox.compose_due(tx)
        (taken,) = outbox.take_due(tx)
    assert deliver(world, 30) == 0
    assert deliver(world, 40) == 1
    assert receiver.got[0].key == taken.notice.key


def test_a_crash_between_transition_and_notice_loses_nothing(world: World, receiver: Receiver) -> None:
    def killed() -> None:
        with world.store.write(world.now) as tx:
            alerts.apply(tx, alerts.Finding("errors", "rule", True, "lost with its transaction"))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        killed()
    assert world.alerts() == [] and deliver(world) == 0
    change(world, True)
    again = world.reopened()
    assert deliver(again) == 1
    again.store.close()


def test_a_channel_that_fails_is_its_own_alert_told_by_the_others(world: World, receiver: Receiver) -> None:
    receiver.answers = [Rejected("answered 404")]
    with world.store.write(world.now) as tx:
        channel_rows.add(tx, "console", "log", {}, actor="system:test")
    change(world, True)
    deliver(world)
    assert world.state("system:channel:pager") == "firing"
    deliver(world, 5)
    told = [row for row in world.waiting() if "channel:pager" in json.dumps(row["notice"])]
    with world.store.read() as tx:
        console = channel_rows.get(tx, "console")["id"]
    assert [row["channel_id"] for row in told] == [console]
    change(world, False)
    deliver(world, 5)
    assert world.state("system:channel:pager") == "inactive"


def test_a_silence_holds_the_notice_with_its_reason_until_it_ends(world: World, receiver: Receiver) -> None:
    world.add("errors")
    with world.store.write(world.now) as tx:
        silence = alerts.silence(
            tx, monitor="errors", reason="planned work", ends_at=world.now + timedelta(hours=1), actor="olga"
        )
    change(world, True)
    change(world, True, "latency")
    assert deliver(world) == 1
    assert "errors" not in receiver.got[0].text
    held = [row for row in world.waiting() if row["held_because"]]
    assert held[0]["held_because"] == "olga: planned work"
    assert deliver(world, 600) == 0
    with world.store.write(world.now) as tx:
        alerts.unsilence(tx, silence, actor="olga")
    deliver(world, 1)
    deliver(world, 1)
    assert "errors" in receiver.got[-1].text


def test_what_ends_while_silenced_is_never_told(world: World, receiver: Receiver) -> None:
    with world.store.write(world.now) as tx:
        alerts.silence(tx, monitor="", reason="night", ends_at=world.now + timedelta(hours=1), actor="olga")
    change(world, True)
    deliver(world)
    change(world, False)
    for _ in range(4):
        deliver(world, 1200)
    assert receiver.got == []
    assert {row["state"] for row in world.waiting()} == {"dropped"}


def test_an_old_notice_is_given_up(world: World, receiver: Receiver) -> None:
    change(world, True)
    for _ in range(200):
        receiver.answers = [Retry("answered 503")]
        deliver(world, 1000)
    (row, *_) = world.waiting()
    assert row["state"] == "dropped" and "Given up" in row["last_error"]


def test_back_off_grows_spreads_and_respects_the_receiver() -> None:
    waits = [delivery.back_off(n, "key").total_seconds() for n in range(1, 15)]
    assert waits[0] >= 1.5 and max(waits) <= 900 * 1.25 and waits[6] > waits[2]
    assert delivery.back_off(1, "a") != delivery.back_off(1, "b")
    assert delivery.back_off(1, "a", 120.0).total_seconds() == 120


def test_every_transition_is_in_the_chain(world: World, receiver: Receiver) -> None:
    for breach in (True, False, True):
        change(world, breach)
    with world.store.read() as tx:
        kinds = [event.kind for event in audit.events(tx)]
        moves = tx.scalar(sa.select(sa.func.count()).select_from(alert_transitions))
        assert audit.verify(tx).bad is None
    assert moves == 3 and kinds.count("alert.fired") == 2 and kinds.count("alert.resolved") == 1


def test_a_test_notice_tells_what_is_wrong(world: World, receiver: Receiver) -> None:
    from core.errors import TrimtabError

    asyncio.run(delivery.send_test(world.store, world.settings, "pager", world.now))
    assert receiver.got[0].body["test"]
    receiver.answers = [Rejected("answered 404")]
    with pytest.raises(TrimtabError, match="pager failed: answered 404"):
        asyncio.run(delivery.send_test(world.store, world.settings, "pager", world.now))


def test_a_row_cannot_allow_itself_private_addresses(world: World) -> None:
    settings = replace(world.settings, monitors=MonitorSettings(allow_private_webhooks=False))
    assert delivery._config({"_allow_private": True}, settings)["_allow_private"] is False
