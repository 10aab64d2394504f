"""Flips under load, a model server that restarts, and the pointer while the store is away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import Conflict, NotFound
from core.ports import ChatPiece, ChatRequest
from core.settings import Settings
from core.types import ModelVersion
from gateway import pointer
from gateway.router import GUESTS, Router
from gateway.servers.scripted import Scripted
from gateway.upstream import Refused
from store import deployments, versions
from store.routes import Route
from store.unit_of_work import Store

from .conftest import INTERNAL, World, make_store, now, run_gateway, wait_until

AWAY = "sqlite:////nonexistent-folder/trimtab.db"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted(load_seconds=0.1, word_seconds=0.005)


def promote(world: World, version: str) -> None:
    with world.store.write(now()) as tx:
        uuid = deployments.request_promotion(tx, "assistant", version, actor="system:test", reason="test")
        row = next(row for row in deployments.requested(tx) if row["uuid"] == uuid)
        deployments.flip(tx, row["id"], actor="system:test")


def roll_back(world: World, to: str = "") -> None:
    with world.store.write(now()) as tx:
        deployments.roll_back(tx, "assistant", actor="system:test", reason="test", to=to)


def serving(world: World) -> str:
    return str(world.chat(max_tokens=1).headers["x-trimtab-version"])


class Load:
    """Clients that chat without pause, whole and streamed, and note who answered what."""

    def __init__(self, world: World, clients: int = 4) -> None:
        self.world, self.ending = world, threading.Event()
        self.answers: list[tuple[int, str, str]] = []
        self.threads = [threading.Thread(target=self.run, args=(index % 2 == 0,)) for index in range(clients)]

    def run(self, stream: bool) -> None:
        while not self.ending.is_set():
            reply = self.world.chat("one two three four", stream=stream)
            self.answers.append((reply.status, reply.headers.get("x-trimtab-version", ""), reply.raw.decode()))

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(20)


def test_flips_under_load_fail_no_request_and_mix_no_answer(world: World) -> None:
    delays = []
    with Load(world) as load:
        for version in ("assistant-v1", "assistant-v2", "assistant-v1", "assistant-v2"):
            time.sleep(0.3)
            flipped = time.perf_counter()
            promote(world, version)
            wait_until(lambda version=version: serving(world) == version)  # type: ignore[misc]
            delays.append(time.perf_counter() - flipped)
    assert len(load.answers) > 40
    assert {status for status, _, _ in load.answers} == {200}
    for _, version, text in load.answers:
        said = {
            name
            for name in ("assistant-base", "assistant-v1", "assistant-v2")
            if f"{name} heard" in text or f'"{name}"' in text
        }
        assert said == {version}
    assert {version for _, version, _ in load.answers} == {"assistant-base", "assistant-v1", "assistant-v2"}
    # The version before is still loaded, so going back to it takes a poll and not a load.
    assert max(delays[2:]) < 1.0


def test_answer_begun_before_a_flip_ends_with_its_version(world: World) -> None:
    world.server.word_seconds = 0.05
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(world.chat(" ".join("abcdefghijkl"), stream=True)))
    thread.start()
    time.sleep(0.2)
    promote(world, "assistant-v1")
    wait_until(lambda: world.gateway.router.served["assistant"].version == "assistant-v1")
    thread.join(10)
    assert replies[0].headers["x-trimtab-version"] == "assistant-base"
    assert replies[0].raw.endswith(b"data: [DONE]\n\n")
    world.captured(1)
    assert world.rows("SELECT version, status FROM inferences") == [("assistant-base", 200)]


def test_version_that_cannot_load_never_replaces_one_that_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = world.server.load

    async def refuse(version: str, path: str) -> None:
        if version == "assistant-v2":
            raise Refused("The adapter is not safetensors.")
        await load(version, path)

    monkeypatch.setattr(world.server, "load", refuse)
    promote(world, "assistant-v2")
    time.sleep(0.5)
    assert serving(world) == "assistant-base"
    assert "not safetensors" in world.gateway.router.trouble
    roll_back(world)
    wait_until(lambda: world.gateway.router.served["assistant"].generation == 3)
    assert serving(world) == "assistant-base"


def test_restarted_server_is_given_its_versions_again_and_nobody_else_answers(world: World) -> None:
    promote(world, "assistant-v1")
    wait_until(lambda: serving(world) == "assistant-v1")
    with Load(world) as load:
        for _ in range(5):
            time.sleep(0.15)
            world.server.restart()
        wait_until(lambda: len(load.answers) > 20)  # on a busy machine they take longer than the restarts
    assert {version for status, version, _ in load.answers if status == 200} == {"assistant-v1"}
    assert {status for status, _, _ in load.answers} <= {200, 503}
    assert all("assistant-base heard" not in text for _, _, text in load.answers)
    wait_until(lambda: set(world.server.paths) >= {"assistant-v1", "assistant-base"})


def test_server_that_is_away_gives_503_and_is_used_again_when_back(world: World) -> None:
    world.server.away = True
    reply = world.chat()
    assert (reply.status, reply.headers["retry-after"]) == (503, "2")
    wait_until(lambda: world.send("GET", "/health").status == 503)
    world.server.away = False
    wait_until(lambda: world.chat().status == 200)
    wait_until(lambda: world.send("GET", "/health").status == 200)


class Timed(Scripted):
    """Tells what an answer took to compute, as our own model server does."""

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        async for piece in super().generate(request):
            yield replace(piece, compute_ms=7.5)


def test_our_own_processes_hear_what_an_answer_took_to_compute_and_nobody_else(tmp_path: Path) -> None:
    with run_gateway(tmp_path, Timed()) as world:
        assert "trimtab" not in world.chat().json
        body = {"model": "assistant", "messages": [{"role": "user", "content": "x"}]}
        reply = world.send("POST", "/v1/chat/completions", body, key=INTERNAL, headers={"X-Trimtab-Kind": "probe"})
        assert reply.json["trimtab"] == {"compute_ms": 7.5}
        world.chat(stream=True)
        world.captured(3)
        assert world.rows("SELECT compute_ms FROM inferences ORDER BY id") == [(7.5,)] * 3


def test_internal_caller_may_name_a_version_and_a_kind(world: World) -> None:
    body = {"model": "assistant@assistant-v2", "messages": [{"role": "user", "content": "x"}]}
    reply = world.send("POST", "/v1/chat/completions", body, key=INTERNAL, headers={"X-Trimtab-Kind": "probe"})
    assert (reply.status, reply.headers["x-trimtab-version"]) == (200, "assistant-v2")
    assert world.send("POST", "/v1/chat/completions", body).status == 404
    assert world.chat(headers={"X-Trimtab-Kind": "probe"}).status == 403
    assert world.chat(headers={"X-Trimtab-Kind": "odd"}).status == 400
    unknown = {**body, "model": "assistant@assistant-v9"}
    assert world.send("POST", "/v1/chat/completions", unknown, key=INTERNAL).status == 404
    world.captured(1)
    assert world.rows("SELECT DISTINCT kind FROM inferences WHERE status = 200") == [("probe",)]


def test_fingerprint_is_of_the_version_served_and_only_for_our_own(world: World) -> None:
    assert world.send("GET", "/internal/fingerprint").status == 403
    before = world.send("GET", "/internal/fingerprint", key=INTERNAL).json
    assert (before["version"], before["generation"]) == ("assistant-base", 1)
    ahead = world.send("GET", "/internal/fingerprint?version=assistant-v1", key=INTERNAL).json
    promote(world, "assistant-v1")
    wait_until(lambda: serving(world) == "assistant-v1")
    after = world.send("GET", "/internal/fingerprint", key=INTERNAL).json
    assert after["digest"] == ahead["digest"] != before["digest"]
    assert (after["version"], after["generation"]) == ("assistant-v1", 2)


def test_guests_are_unloaded_late_and_champion_and_previous_never(world: World) -> None:
    promote(world, "assistant-v1")
    wait_until(lambda: serving(world) == "assistant-v1")
    guests = [f"candidate-{n}" for n in range(5)]
    with world.store.write(now()) as tx:
        for name in guests:
            version = ModelVersion(name, name.ljust(64, "0"), "adapter", "chat", f"versions/{name}", now())
            versions.register(tx, version, actor="system:test")
    for name in guests:
        assert world.send("GET", f"/internal/fingerprint?version={name}", key=INTERNAL).status == 200
    kept = {"assistant-base", "assistant-v1", *guests[-GUESTS:]}
    wait_until(lambda: set(world.gateway.router.loaded()) == kept == set(world.server.paths))


def test_a_whole_model_is_loaded_from_its_folder_and_the_base_from_none(world: World) -> None:
    whole = ModelVersion("assistant-v3", "3" * 64, "base", "chat", "versions/three", now(), parent="assistant-base")
    with world.store.write(now()) as tx:
        versions.register(tx, whole, actor="system:test")
    promote(world, "assistant-v3")
    wait_until(lambda: serving(world) == "assistant-v3")
    home = world.gateway.settings.home
    assert world.server.paths == {"assistant-base": "", "assistant-v3": str(home / "versions/three")}


def test_store_away_pointer_rolls_back_until_the_route_is_newer(world: World) -> None:
    promote(world, "assistant-v1")
    wait_until(lambda: serving(world) == "assistant-v1")
    settings, engine = world.gateway.settings, world.store.engine
    wait_until(lambda: pointer.recall(pointer.remembered_path(settings))[0].version == "assistant-v1")
    world.store.engine = Store.open(AWAY).engine
    try:
        wait_until(lambda: not world.gateway.router.store_answers)
        began = time.perf_counter()
        target = pointer.point(settings, to="", reason="garbled answers", actor="command-line:ops", now=now())
        assert target == "assistant-base"
        wait_until(lambda: serving(world) == "assistant-base")
        assert time.perf_counter() - began < 5.0
        with pytest.raises(Conflict, match="No version before assistant-base"):
            pointer.point(settings, to="", reason="again", actor="command-line:ops", now=now())
    finally:
        world.store.engine = engine
    wait_until(lambda: world.gateway.router.store_answers)
    assert serving(world) == "assistant-base"
    roll_back(world)
    promote(world, "assistant-v2")
    wait_until(lambda: serving(world) == "assistant-v2")


def serves(world: World, version: str) -> bool:
    return serving(world) == version


def test_store_away_whatever_has_served_here_can_be_gone_back_to_by_a_new_gateway_too(tmp_path: Path) -> None:
    """A version that is neither the last nor the one before: no route names its folder any more."""
    with run_gateway(tmp_path, Scripted()) as first:
        for version in ("assistant-v1", "assistant-v2"):
            promote(first, version)
            wait_until(partial(serves, first, version))
        settings = first.gateway.settings
        kept = pointer.remembered_path(settings)
        wait_until(lambda: "assistant-base" not in repr(pointer.recall(kept)))
        first.store.engine, engine = Store.open(AWAY).engine, first.store.engine
        try:
            wait_until(lambda: not first.gateway.router.store_answers)
            with pytest.raises(NotFound, match="asistant-base is not known here"):
                pointer.point(settings, to="asistant-base", reason="garbled", actor="ops", now=now())
            pointer.point(settings, to="assistant-base", reason="garbled", actor="ops", now=now())
            wait_until(lambda: serving(first) == "assistant-base")
        finally:
            first.store.engine = engine
    assert start_again(settings, Store.open(AWAY)) == "assistant-base"


def test_pointer_needs_a_gateway_that_served_here(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models_home=tmp_path / "models")
    with pytest.raises(NotFound, match="No gateway on this machine"):
        pointer.point(settings, to="", reason="x", actor="command-line:ops", now=now())


def test_pointers_that_several_people_write_at_once_are_all_kept(tmp_path: Path) -> None:
    path, start = tmp_path / "pointer.json", threading.Barrier(4)

    def work(who: int) -> None:
        start.wait()
        for number in range(5):
            pointer.write(path, pointer.Pointer(f"assistant@plan={who}-{number}", "v1", 2, "Rude.", "ops", "now"))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pointer.read(path)) == 20


def test_torn_pointer_moves_nothing(world: World) -> None:
    for content in ("", "{", '{"deployment": "assistant"}', "[]", '{"deployment":"assistant","version":3}'):
        world.gateway.settings.pointer_path.write_text(content)
        time.sleep(0.1)
        assert serving(world) == "assistant-base"


def test_gateway_that_starts_without_its_store_serves_what_it_remembers(tmp_path: Path) -> None:
    with run_gateway(tmp_path, Scripted()) as first:
        wait_until(lambda: pointer.recall(pointer.remembered_path(first.gateway.settings)) != [])
    router = first.gateway.router
    assert router.served["assistant"].version == "assistant-base"
    kept = pointer.recall(pointer.remembered_path(first.gateway.settings))
    assert [(route.deployment, route.version, route.generation) for route in kept] == [
        ("assistant", "assistant-base", 1)
    ]
    assert start_again(first.gateway.settings, Store.open(AWAY)) == "assistant-base"


def test_whatever_is_wrong_with_the_store_the_pointer_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of another release, say: nothing that the code foresaw."""
    settings = Settings(home=tmp_path, models_home=tmp_path / "models")
    route = Route("assistant", "assistant-v1", "adapter", "one", "assistant-base", "base", "", 2)
    pointer.remember(pointer.remembered_path(settings), [route])
    assert pointer.point(settings, to="", reason="garbled", actor="ops", now=now()) == "assistant-base"
    store = Store.open(AWAY)

    def unforeseen() -> Any:
        raise sa.exc.ProgrammingError("SELECT", {}, Exception("column routes.version does not exist"))

    monkeypatch.setattr(store, "read", unforeseen)
    assert start_again(settings, store) == "assistant-base"


def test_a_pointer_of_another_installation_does_not_keep_this_one_from_serving(tmp_path: Path) -> None:
    """A database made anew in an old home: the version that the pointer names is in none of its rows."""
    settings = Settings(home=tmp_path, models_home=tmp_path / "models")
    left = pointer.Pointer("assistant", "assistant-v9", 9, "Garbled.", "ops", now().isoformat())
    pointer.write(settings.pointer_path, left)
    store = make_store(tmp_path)
    assert start_again(settings, store) == "assistant-base"
    store.close()


def start_again(settings: Settings, store: Store) -> str:
    """What a gateway that starts on `store` answers with."""
    again = Router(
        store,
        Scripted(),
        home=settings.home,
        pointer_path=settings.pointer_path,
        remembered_path=pointer.remembered_path(settings),
        tell=[].append,
        tick=time.monotonic,
    )

    async def follow() -> str:
        await again.start()
        for _ in range(200):
            if again.served:
                break
            await asyncio.sleep(0.02)
        await again.stop()
        return again.served["assistant"].version

    return asyncio.run(follow())
