"""A promotion on trial as clients meet it: sticky shares, nobody refused, and nothing forgotten at a restart."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import Unavailable
from core.ports import ChatPiece, ChatRequest
from core.settings import GatewaySettings
from gateway import pointer
from gateway.chat import Exchange
from gateway.draw import drawn
from gateway.openai import ChatCall
from gateway.router import Router
from gateway.servers.scripted import Scripted
from gateway.shadow import BUSY
from store import deployments, inferences, trials
from store.unit_of_work import Store

from .conftest import INTERNAL, World, now, run_gateway, wait_until

AWAY = "sqlite:////nonexistent-folder/trimtab.db"
USERS = [f"user-{number}" for number in range(60)]


def begin(world: World, version: str = "assistant-v1", *, share: int = 20, state: Any = "canary") -> str:
    """Put `version` on trial and wait until the gateway follows; returns the row's uuid."""
    with world.store.write(now()) as tx:
        uuid = deployments.request_promotion(tx, "assistant", version, actor="system:test", reason="test", share=share)
        row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
        trials.begin(tx, row["id"], state, actor="system:test")
    wait_until(lambda: world.gateway.router.served["assistant"].candidate == version)
    wait_until(lambda: version in world.gateway.router.loaded())
    return uuid


def answering(world: World, user: str) -> str:
    return str(world.chat(max_tokens=1, user=user).headers["x-trimtab-version"])


def expected(uuid: str, user: str, share: int = 20) -> str:
    return "assistant-v1" if drawn(uuid, user, share) else "assistant-base"


def test_each_person_keeps_one_version_and_captures_say_which(world: World) -> None:
    uuid = begin(world)
    first = {user: answering(world, user) for user in USERS}
    assert first == {user: expected(uuid, user) for user in USERS}
    assert {user: answering(world, user) for user in USERS} == first
    assert set(first.values()) == {"assistant-base", "assistant-v1"}
    named = {"conversation_id": "talk"}
    talk = {str(world.chat(metadata=named).headers["x-trimtab-version"]) for _ in range(4)}
    assert talk == {expected(uuid, "talk")}
    world.captured(124)
    counted = world.rows("SELECT version, count(*) FROM inferences WHERE user_hash != '' GROUP BY version")
    assert dict(counted) == {name: 2 * list(first.values()).count(name) for name in set(first.values())}


def test_a_talk_that_nobody_named_keeps_its_version_and_is_captured_as_one(world: World) -> None:
    begin(world, share=50)
    for number in range(6):
        said = [{"role": "user", "content": f"question {number}"}]
        versions = set()
        for _ in range(4):
            reply = world.chat(messages=said)
            versions.add(reply.headers["x-trimtab-version"])
            answer = reply.json["choices"][0]["message"]
            said += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "and then?"}]
        assert len(versions) == 1
    world.captured(24)
    counts = world.rows("SELECT conversation, count(*), min(id) FROM inferences GROUP BY conversation")
    assert [count for _, count, _ in counts] == [4] * 6
    assert all(world.rows(f"SELECT uuid FROM inferences WHERE id = {first}") == [(talk,)] for talk, _, first in counts)


def test_requests_without_a_name_are_drawn_one_by_one(world: World) -> None:
    begin(world, share=50)
    answered = [str(world.chat(max_tokens=1).headers["x-trimtab-version"]) for _ in range(60)]
    assert 8 < answered.count("assistant-v1") < 52, "fair coins leave this range once in ten million times"


def test_probes_and_named_versions_do_not_take_part(world: World) -> None:
    uuid = begin(world, share=99)
    drawn_one = next(user for user in USERS if drawn(uuid, user, 99))
    body = {"model": "assistant", "messages": [{"role": "user", "content": "x"}], "user": drawn_one}
    reply = world.send("POST", "/v1/chat/completions", body, key=INTERNAL, headers={"X-Trimtab-Kind": "probe"})
    assert reply.headers["x-trimtab-version"] == "assistant-base"
    proof = world.send("GET", "/internal/fingerprint", key=INTERNAL).json
    assert (proof["version"], proof["generation"]) == ("assistant-base", 1)
    assert answering(world, drawn_one) == "assistant-v1"


def test_a_candidate_that_is_not_loaded_costs_nobody_an_answer(world: World) -> None:
    begin(world, share=99)
    world.gateway.router._loaded.pop("assistant-v1")
    replies = [world.chat(user=user) for user in USERS[:5]]
    assert {reply.status for reply in replies} == {200}
    wait_until(lambda: "assistant-v1" in world.gateway.router.loaded())


def test_the_end_of_a_trial_is_followed(world: World) -> None:
    uuid = begin(world, share=99)
    with world.store.write(now()) as tx:
        row = trials.running(tx, "assistant")[0]
        deployments.fail(tx, row["id"], "Over.", actor="system:test", event="deployment.aborted")
    wait_until(lambda: not world.gateway.router.served["assistant"].trial)
    assert {answering(world, user) for user in USERS[:5]} == {"assistant-base"}
    again = begin(world, share=99)
    assert again != uuid
    with world.store.write(now()) as tx:
        deployments.flip(tx, trials.running(tx, "assistant")[0]["id"], actor="system:test")
    wait_until(lambda: world.gateway.router.served["assistant"].version == "assistant-v1")
    assert {answering(world, user) for user in USERS[:5]} == {"assistant-v1"}


def test_the_pointer_ends_a_trial_while_the_store_is_away_and_the_share_is_kept_until_then(world: World) -> None:
    with world.store.write(now()) as tx:
        uuid = deployments.request_promotion(tx, "assistant", "assistant-v2", actor="system:test", reason="test")
        row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
        deployments.flip(tx, row["id"], actor="system:test")
    uuid = begin(world, share=50)
    assert answering(world, USERS[0]) != "assistant-base"  # also lets the gateway know the key
    settings, engine = world.gateway.settings, world.store.engine
    wait_until(lambda: pointer.recall(pointer.remembered_path(settings))[0].share == 50)
    world.store.engine = Store.open(AWAY).engine
    try:
        wait_until(lambda: not world.gateway.router.store_answers)
        for user in USERS[:12]:
            assert answering(world, user) == ("assistant-v1" if drawn(uuid, user, 50) else "assistant-v2")
        pointer.point(settings, to="", reason="garbled", actor="command-line:ops", now=now())
        wait_until(lambda: world.gateway.router.served["assistant"].version == "assistant-base")
        assert {answering(world, user) for user in USERS[:12]} == {"assistant-base"}
    finally:
        world.store.engine = engine


def test_a_gateway_that_restarts_midway_keeps_share_and_people(tmp_path: Path) -> None:
    with run_gateway(tmp_path, Scripted()) as first:
        uuid = begin(first, share=50)
        wait_until(lambda: pointer.recall(pointer.remembered_path(first.gateway.settings))[0].candidate != "")
    again = Router(
        Store.open(AWAY),
        Scripted(),
        home=tmp_path,
        pointer_path=first.gateway.settings.pointer_path,
        remembered_path=pointer.remembered_path(first.gateway.settings),
        tell=lambda _: None,
        tick=time.monotonic,
    )

    async def picked() -> dict[str, str]:
        await again.start()
        await _until(lambda: "assistant-v1" in again.loaded() and bool(again.served))
        found = {user: again.pick(again.served["assistant"], user) for user in USERS}
        await again.stop()
        return found

    assert asyncio.run(picked()) == {user: expected(uuid, user, 50) for user in USERS}


async def _until(check: Callable[[], bool]) -> None:
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in time")


def shadowing(folder: Path, server: Scripted) -> contextlib.AbstractContextManager[World]:
    return run_gateway(folder, server, gateway=GatewaySettings(port=0, shadow_per_minute=10**9))


def test_a_shadow_answers_copies_that_nobody_sees_and_no_monitor_counts(tmp_path: Path) -> None:
    with shadowing(tmp_path, Scripted()) as world:
        begin(world, share=0, state="shadow")
        for number in range(6):
            reply = world.chat(f"question {number}", user="ann")
            assert reply.headers["x-trimtab-version"] == "assistant-base"
            assert "assistant-v1" not in reply.raw.decode()
            world.settle(lambda number=number: world.gateway.shadow.counts.answered == number + 1)  # type: ignore[misc]
        world.captured(12)
        found = world.rows("SELECT kind, version, count(*), count(DISTINCT user_hash) FROM inferences GROUP BY 1, 2")
        assert found == [("live", "assistant-base", 6, 1), ("shadow", "assistant-v1", 6, 1)]
        with world.store.read() as tx:
            assert inferences.key_range(tx)[2] == 6, "what monitors watch"
        assert 'outcome="answered"} 6' in world.send("GET", "/metrics", key=INTERNAL).raw.decode()


def test_a_shadow_that_hangs_or_fails_costs_no_live_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Scripted()
    generate = server.generate

    async def broken(request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        if request.version == "assistant-v1":
            await asyncio.sleep(0.3)
            raise Unavailable("Broken.", "No.")
        async for piece in generate(request):
            yield piece

    monkeypatch.setattr(server, "generate", broken)
    with shadowing(tmp_path, server) as world:
        begin(world, share=0, state="shadow")
        replies = [world.chat(user=user) for user in USERS[:20]]
        assert {reply.status for reply in replies} == {200}
        world.settle(lambda: world.gateway.shadow.counts.failed >= 1)
        assert world.gateway.shadow.counts.skipped >= 1, "one copy at a time; the others are left out"
        world.settle(lambda: bool(world.rows("SELECT 1 FROM inferences WHERE kind = 'shadow' AND status = 503")))


def test_a_shadow_keeps_to_its_pace_and_gives_way_to_load(world: World) -> None:
    begin(world, share=0, state="shadow")
    for user in USERS[:6]:
        world.chat(user=user)
    world.settle(lambda: world.gateway.shadow.counts.skipped == 5)
    assert world.gateway.shadow.counts.answered <= 1, "30 a minute are one in two seconds"
    exchange = Exchange(
        ChatCall("assistant", [], 1, 1.0, 1.0, [], None, False, False, "ann", "", {}, {}),
        "assistant",
        "assistant-base",
        "live",
        now(),
        0.0,
        "x",
        "key",
        "x",
    )
    world.gateway.shadow._next = 0.0
    assert not world.gateway.shadow.offer(exchange, BUSY + 1)
