"""The vLLM adapter beside a server that behaves as vLLM: names of content, late unloads, and the stale-cache defect."""

from __future__ import annotations

import asyncio
import functools
import json
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from core.ports import ChatRequest
from gateway.servers.vllm import VLLM
from gateway.upstream import NotLoaded, Refused
from tests.vllm_world import BASE, FakeVLLM, write_adapter

from .conftest import serve

Use = Callable[[VLLM], Awaitable[None]]


@pytest.fixture
def fake() -> FakeVLLM:
    return FakeVLLM()


@pytest.fixture
def use(fake: FakeVLLM) -> Iterator[Callable[[Use], None]]:
    """`use(work)`: run `work` with a gateway's client of the server; each call is another gateway."""
    for url in serve(fake.app):
        yield functools.partial(run, url)


def run(url: str, work: Use) -> None:
    async def whole() -> None:
        server = VLLM(f"{url}/v1", model=BASE)
        try:
            await work(server)
        finally:
            await server.close()

    asyncio.run(whole())


async def say(server: VLLM, version: str, text: str = "Where is my parcel?") -> str:
    request = ChatRequest(version, ({"role": "user", "content": text},), max_tokens=4, extra={"stream": False})
    return "".join([piece.text async for piece in server.generate(request)])


async def exchange(server: VLLM, name: str, path: str) -> None:
    """What somebody with a shell can do to an adapter that serves: vLLM answers 200."""

    def post() -> int:
        body = json.dumps({"lora_name": name, "lora_path": path, "load_inplace": True}).encode()
        request = urllib.request.Request(f"{server.base_url}/load_lora_adapter", data=body, method="POST")
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)

    assert await asyncio.to_thread(post) == 200


def test_a_version_is_loaded_beside_the_one_that_serves_and_that_one_is_freed_late(
    fake: FakeVLLM, use: Callable[[Use], None], tmp_path: Path
) -> None:
    first, second = (write_adapter(tmp_path, weights) for weights in (b"first", b"second"))

    async def work(server: VLLM) -> None:
        await server.load("shop-base", "")
        await server.load("shop-v1", first)
        before = await say(server, "shop-v1")
        await server.load("shop-v2", second)
        assert await say(server, "shop-v1") == before  # until the route moves, and while answers end
        assert len({await say(server, version) for version in ("shop-base", "shop-v1", "shop-v2")}) == 3
        await server.unload("shop-v1")
        assert list(await server.versions()) == ["shop-base", "shop-v2"]
        with pytest.raises(NotLoaded):
            await say(server, "shop-v1")
        await server.unload("shop-base")
        await server.unload("shop-v1")

    use(work)
    assert fake.loads == [f"shop-v1-{Path(first).name[:12]}", f"shop-v2-{Path(second).name[:12]}"]


def test_a_version_that_a_restarted_server_lost_is_told_and_loaded_again(
    fake: FakeVLLM, use: Callable[[Use], None], tmp_path: Path
) -> None:
    path = write_adapter(tmp_path, b"first")

    async def work(server: VLLM) -> None:
        await server.load("shop-v1", path)
        before = await server.fingerprint("shop-v1")
        fake.restart()
        assert list(await server.versions()) == []
        with pytest.raises(NotLoaded):
            await say(server, "shop-v1")
        await server.unload("shop-v1")  # nothing to free
        await server.load("shop-v1", path)
        assert await server.fingerprint("shop-v1") == before

    use(work)


@pytest.mark.parametrize("change", ["other weights", "another file", "a link"])
def test_files_that_are_not_those_that_were_adopted_are_not_loaded_after_a_restart(
    fake: FakeVLLM, use: Callable[[Use], None], tmp_path: Path, change: str
) -> None:
    path = write_adapter(tmp_path, b"first")

    async def work(server: VLLM) -> None:
        await server.load("shop-v1", path)
        fake.restart()
        if change == "other weights":
            (Path(path) / "adapter_model.safetensors").write_bytes(b"exchanged")
        elif change == "another file":
            (Path(path) / "adapter_config.json").write_text("{}")
        else:
            (Path(path) / "more.safetensors").symlink_to("/dev/null")
        with pytest.raises(Refused, match="not those that were adopted"):
            await server.load("shop-v1", path)
        assert list(await server.versions()) == []

    use(work)
    assert len(fake.loads) == 1


def test_a_folder_that_only_the_server_sees_is_loaded(
    fake: FakeVLLM, use: Callable[[Use], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_adapter(tmp_path, b"first")
    monkeypatch.setattr(Path, "is_dir", lambda self: False)

    async def work(server: VLLM) -> None:
        await server.load("shop-v1", path)
        assert list(await server.versions()) == ["shop-v1"]

    use(work)


def test_two_gateways_on_one_server_load_once_and_one_that_was_late_is_not_refused(
    fake: FakeVLLM, use: Callable[[Use], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_adapter(tmp_path, b"first")
    looks = iter([set(), {f"shop-v1-{Path(path).name[:12]}"}])

    async def work(server: VLLM) -> None:
        await server.load("shop-v1", path)

    async def late(server: VLLM) -> None:
        async def look() -> set[str]:
            return next(looks)

        monkeypatch.setattr(server, "_served", look)
        await server.load("shop-v1", path)
        assert await say(server, "shop-v1")

    use(work)
    use(late)
    assert len(fake.loads) == 1


def test_what_vllm_refuses_is_told_with_its_reason(use: Callable[[Use], None], tmp_path: Path) -> None:
    async def work(server: VLLM) -> None:
        with pytest.raises(Refused, match="No adapter found for"):
            await server.load("shop-v1", str(tmp_path / "nothing"))
        assert list(await server.versions()) == []

    use(work)


def test_a_server_that_takes_no_adapters_is_told_with_the_remedy(tmp_path: Path) -> None:
    path = write_adapter(tmp_path, b"first")

    async def work(server: VLLM) -> None:
        with pytest.raises(Refused, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
            await server.load("shop-v1", path)

    for url in serve(FakeVLLM(updating=False).app):
        run(url, work)


def test_the_defect_is_there_under_one_name_and_cannot_reach_a_version_of_another_content(
    fake: FakeVLLM, use: Callable[[Use], None], tmp_path: Path
) -> None:
    old, new = (write_adapter(tmp_path, weights) for weights in (b"old", b"new"))

    async def stale(server: VLLM) -> None:
        server.names["one"] = "one"
        await exchange(server, "one", old)
        before = await say(server, "one")
        await exchange(server, "one", new)
        assert await say(server, "one") == before  # the new adapter, and the old one's answer

    async def reinstalled(server: VLLM) -> None:
        await server.load("fresh", new)
        expected = await say(server, "fresh")
        # An installation that counted to v1, and after it another one that counts from 1 again.
        await server.load("shop-v1", old)
        before = await say(server, "shop-v1")
        print_ = await server.fingerprint("shop-v1")
        await server.unload("shop-v1")
        await server.load("shop-v1", new)
        assert await say(server, "shop-v1") == expected != before
        assert await server.fingerprint("shop-v1") != print_

    use(stale)
    use(reinstalled)


def test_the_fingerprint_catches_an_adapter_that_was_loaded_over_the_one_that_serves(
    use: Callable[[Use], None], tmp_path: Path
) -> None:
    old, new = (write_adapter(tmp_path, weights) for weights in (b"old", b"new"))

    async def work(server: VLLM) -> None:
        await server.load("shop-v1", old)
        registered = await server.fingerprint("shop-v1")
        assert await server.fingerprint("shop-v1") == registered
        people = await say(server, "shop-v1")
        await exchange(server, server.names["shop-v1"], new)
        # By what is kept of their prompts nothing has changed for the print's prompts and for people ...
        assert await server.take_print("shop-v1") == registered
        assert await say(server, "shop-v1") == people
        # ... and yet another adapter is there, which the proof sees, each time anew.
        proofs = [await server.fingerprint("shop-v1") for _ in range(2)]
        assert registered not in proofs and proofs[0] != proofs[1]
        await exchange(server, server.names["shop-v1"], old)
        assert await server.fingerprint("shop-v1") == registered

    use(work)
