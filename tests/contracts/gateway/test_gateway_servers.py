"""The same promises of every server behind the door, over real HTTP: answers, versions, fingerprints, failures."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import InvalidInput, TrimtabError, Unavailable
from core.ports import ChatRequest, Server
from core.settings import GatewaySettings, Settings
from gateway.replicas import Replicas
from gateway.servers import SERVERS, connect
from gateway.servers.openai_compatible import OpenAICompatible
from gateway.servers.scripted import Scripted
from gateway.servers.transformers_local import TransformersLocal
from gateway.servers.vllm import VLLM
from gateway.upstream import Busy, NotLoaded, Refused
from tests import vllm_world

from .conftest import run_gateway, serve, wait_until

KEY = "ti-internal"


class Kit:
    """A server to hold to the contract: how to make its client, and what an adapter is to it (None: it has none)."""

    def __init__(self, make: Callable[[], Server], adapter: str | None) -> None:
        self.make, self.adapter = make, adapter


@pytest.fixture(scope="module")
def local_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The real local model server over a model small enough for tests, and the folder of an adapter."""
    import torch

    from models.app import build_app
    from models.engine import Engine
    from models.load import load_base
    from models.tiny import write_adapter, write_model

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    base = write_model(folder / "base")
    adapter = write_adapter(folder / "adapter", base, seed=5)
    engine = Engine(lambda: load_base(base, device="cpu", dtype="float32"), time.perf_counter)
    for url in serve(build_app(engine, KEY, root=folder)):
        wait_until(lambda: engine.status == "ready", 60)
        yield url, str(adapter)


@pytest.fixture(scope="module")
def upstream_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Another gateway as the OpenAI-compatible server, and its key."""
    with run_gateway(tmp_path_factory.mktemp("upstream"), Scripted()) as other:
        yield f"{other.url}/v1", other.key


@pytest.fixture(scope="module")
def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A stand-in for vLLM, and the folder of an adapter."""
    adapter = vllm_world.write_adapter(tmp_path_factory.mktemp("vllm"), b"one")
    for url in serve(vllm_world.FakeVLLM().app):
        yield url, adapter


@pytest.fixture(scope="module")
def second_vllm_url() -> Iterator[str]:
    """Another one, for two that answer as one."""
    yield from serve(vllm_world.FakeVLLM().app)


def make_kit(request: pytest.FixtureRequest, name: str) -> Kit:
    if name == "scripted":
        return Kit(Scripted, "/adapters/one")
    if name == "transformers_local":
        url, adapter = request.getfixturevalue("local_url")
        return Kit(lambda: TransformersLocal(url, key=KEY), adapter)
    if name == "openai_compatible":
        url, key = request.getfixturevalue("upstream_url")
        return Kit(lambda: OpenAICompatible(url, key=key, model="assistant"), None)
    if name == "vllm":
        url, adapter = request.getfixturevalue("vllm_url")
        return Kit(lambda: VLLM(f"{url}/v1", model="chat"), adapter)
    if name == "replicas":
        url, adapter = request.getfixturevalue("vllm_url")
        other = request.getfixturevalue("second_vllm_url")
        return Kit(lambda: Replicas([VLLM(f"{one}/v1", model="chat") for one in (url, other)]), adapter)
    raise AssertionError(f"the server {name} has no contract test: make a kit for it")


@pytest.fixture(params=[*SERVERS, "replicas"])
def kit(request: pytest.FixtureRequest) -> Kit:
    return make_kit(request, request.param)


def run(kit: Kit, work: Callable[[Any], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = kit.make()
        try:
            await work(server)
        finally:
            await server.close()

    asyncio.run(whole())


async def say(server: Server, version: str, *, stream: bool = True, **more: Any) -> list[Any]:
    request = ChatRequest(
        version, ({"role": "user", "content": "one two three"},), max_tokens=6, temperature=0.0, seed=1,
        extra={"stream": stream}, **more,
    )  # fmt: skip
    return [piece async for piece in server.generate(request)]


def test_streamed_and_whole_answers_agree_and_count_tokens(kit: Kit) -> None:
    async def work(server: Server) -> None:
        await server.load("one-base", "")
        pieces = await say(server, "one-base")
        assert [bool(piece.finish_reason) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        (whole,) = await say(server, "one-base", stream=False)
        assert "".join(piece.text for piece in pieces) == whole.text
        assert whole.text
        assert whole.finish_reason == pieces[-1].finish_reason
        assert pieces[-1].completion_tokens == whole.completion_tokens > 0
        assert pieces[-1].prompt_tokens == whole.prompt_tokens > 0

    run(kit, work)


def test_version_that_was_not_loaded_is_never_answered(kit: Kit) -> None:
    async def work(server: Server) -> None:
        await server.load("one-base", "")
        for stream in (True, False):
            with pytest.raises(NotLoaded):
                await say(server, "never-loaded", stream=stream)
        with pytest.raises(NotLoaded):
            await server.fingerprint("never-loaded")
        assert "never-loaded" not in await server.versions()

    run(kit, work)


def test_adapter_is_told_from_its_base_and_gone_when_unloaded(kit: Kit) -> None:
    async def work(server: Server) -> None:
        await server.load("one-base", "")
        if kit.adapter is None:
            with pytest.raises(Refused, match="cannot load the adapter"):
                await server.load("one-v1", "/adapters/one")
            return
        await server.load("one-v1", kit.adapter)
        await server.load("one-v1", kit.adapter)
        assert set(await server.versions()) >= {"one-base", "one-v1"}
        base, adapter = await server.fingerprint("one-base"), await server.fingerprint("one-v1")
        assert base.digest != adapter.digest
        assert (await server.fingerprint("one-v1")).digest == adapter.digest
        await server.unload("one-v1")
        assert "one-v1" not in await server.versions()
        with pytest.raises(NotLoaded):
            await say(server, "one-v1")
        assert await say(server, "one-base")

    run(kit, work)


@pytest.mark.slow
def test_files_that_are_not_those_that_were_adopted_are_not_served(request: pytest.FixtureRequest) -> None:
    """An adopted folder is named by its content; a server that restarts reads it again, and nobody proves it then."""
    from models.artefacts import digest

    url, adapter = request.getfixturevalue("local_url")
    whole = Path(adapter).with_name(digest(Path(adapter)))
    for place in (whole, whole.with_name("0" * 64)):
        shutil.copytree(adapter, place)

    async def work(server: TransformersLocal) -> None:
        await server.load("adopted", str(whole))
        with pytest.raises(Refused, match="not those that were adopted"):
            await server.load("changed", str(whole.with_name("0" * 64)))
        assert await server.versions() == ["adopted"]
        with pytest.raises(NotLoaded):
            await server.upstream.ask(f"{url}/fingerprint", {"name": "changed"}, "changed")
        await server.unload("adopted")

    run(Kit(lambda: TransformersLocal(url, key=KEY), adapter), work)


def test_score_gives_a_number_each_or_says_it_cannot(kit: Kit) -> None:
    items = [{"messages": [{"role": "user", "content": "x"}], "completion": text} for text in ("yes", "no and no")]

    async def work(server: Server) -> None:
        await server.load("one-base", "")
        if not isinstance(server, Scripted | TransformersLocal):
            with pytest.raises(Unavailable, match="cannot score"):
                await server.score("one-base", items)
            return
        scores = await server.score("one-base", items)
        assert len(scores) == 2
        assert all(score < 0 for score in scores)

    run(kit, work)


def test_a_model_without_experts_reports_no_expert_load(kit: Kit) -> None:
    async def work(server: Server) -> None:
        await server.load("one-base", "")
        assert await server.experts("one-base") is None

    run(kit, work)


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "scripted"])
def test_nobody_at_the_address_is_told_as_unavailable(name: str) -> None:
    settings = Settings(
        home=Path("home"),
        models_home=Path("models"),
        gateway=GatewaySettings(server=name, upstream_url="http://127.0.0.1:9/v1", upstream_model="m"),
    )
    settings = dataclasses.replace(settings, models=dataclasses.replace(settings.models, port=9))

    async def work(server: Any) -> None:
        server.names["one"] = "one"
        for call in (server.versions(), say(server, "one"), say(server, "one", stream=False)):
            with pytest.raises(Unavailable, match="does not answer"):
                await call

    run(Kit(lambda: connect(settings, key=KEY), None), work)


def test_settings_name_the_server_or_say_what_is_missing() -> None:
    settings = Settings(home=Path("home"), models_home=Path("m"), gateway=GatewaySettings(server="oracle"))
    with pytest.raises(InvalidInput, match=r"There is no server named oracle\. Correct gateway\.server"):
        connect(settings, key=KEY)
    settings = Settings(home=Path("home"), models_home=Path("m"), gateway=GatewaySettings(server="vllm"))
    with pytest.raises(InvalidInput, match=r"gateway\.upstream_url"):
        connect(settings, key=KEY)
    assert all(SERVERS.summary(name) for name in SERVERS)


@pytest.mark.parametrize(
    ("status", "headers", "content", "kind", "told"),
    [
        (429, {"Retry-After": "7"}, b"{}", Busy, "busy"),
        (400, {}, b'{"error": {"message": "context too long"}}', Refused, "context too long"),
        (401, {}, b"{}", Unavailable, "refuses the gateway's key"),
        (500, {}, b"<html>", Unavailable, "status 500"),
        (404, {}, b"", NotLoaded, "does not have one"),
        (302, {"Location": "http://127.0.0.1:9/"}, b"", Unavailable, "status 302"),
        (200, {}, b"<html>", Unavailable, "not JSON"),
        (200, {}, b"[]", Unavailable, "not a chat completion"),
        (200, {}, b'{"choices": [{"message": {"content": 3}}]}', Unavailable, "not a chat completion"),
    ],
)
def test_odd_answers_of_a_server_are_told_in_our_words(
    status: int, headers: dict[str, str], content: bytes, kind: type[TrimtabError], told: str
) -> None:
    async def answer(_: Request) -> Response:
        return Response(content, status, headers)

    async def work(server: Any) -> None:
        server.names["one"] = "one"
        with pytest.raises(kind, match=told):
            await say(server, "one", stream=False)

    for url in serve(Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])):
        run(Kit(lambda url=url: OpenAICompatible(f"{url}/v1"), None), work)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ('data: {"choices": [{"delta": {"content": "a"}}]}\n\n', "ended its answer midway"),
        ('data: {"error": {"message": "boom"}}\n\n', "failed midway"),
        ("data: {nonsense\n\n", "not JSON"),
        ("data: [DONE]\n\n", "ended its answer midway"),
    ],
)
def test_stream_that_breaks_off_is_never_taken_for_whole(events: str, told: str) -> None:
    async def answer(_: Request) -> Response:
        return Response(events, media_type="text/event-stream")

    async def work(server: Any) -> None:
        server.names["one"] = "one"
        with pytest.raises(Unavailable, match=told):
            await say(server, "one")

    for url in serve(Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])):
        run(Kit(lambda url=url: OpenAICompatible(f"{url}/v1"), None), work)  # type: ignore[misc]
