"""Several servers as one: what goes to which, what gives way, what is caught up, and what counts as proved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import pytest

from core.errors import InvalidInput, Unavailable
from core.ports import ChatPiece, ChatRequest, Fingerprint
from core.settings import GatewaySettings, Settings
from gateway.replicas import SLACK, Replicas
from gateway.servers import connect
from gateway.servers.scripted import Scripted
from gateway.servers.vllm import VLLM
from gateway.upstream import Away, Busy, NotLoaded, Refused


class One(Scripted):
    """A scripted server that says who it is, and can be out of reach, busy, failing, or refuse an adapter."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.asked = name, 0
        self.fails: Unavailable | None = None
        self.refuses = self.breaks = False
        self.look_seconds = 0.0
        self.weights = "sound"

    async def generate(self, request: ChatRequest) -> AsyncGenerator[ChatPiece, None]:
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        self._require(request.version)
        yield ChatPiece(self.name)
        await asyncio.sleep(0)
        if self.breaks:
            raise Away("The connection broke.")
        yield ChatPiece("", "stop", 1, 1)

    async def load(self, version: str, path: str) -> None:
        if self.refuses:
            raise Refused("No adapter found there.")
        await super().load(version, path)

    async def versions(self) -> Sequence[str]:
        told = await super().versions()
        await asyncio.sleep(self.look_seconds)
        return told

    async def fingerprint(self, version: str) -> Fingerprint:
        self._require(version)
        return Fingerprint(f"{version} {self.weights}")

    def _answering(self) -> None:
        if self.away:
            raise Away("The model server does not answer.")


def use(work: Callable[[Replicas, list[One]], Awaitable[None]], *, number: int = 2) -> None:
    async def whole() -> None:
        ones = [One(f"n{place}") for place in range(number)]
        both = Replicas(ones)
        await both.load("v1", "/adapters/v1")
        await work(both, ones)
        await both.close()

    asyncio.run(whole())


async def say(both: Replicas, text: str = "hello", version: str = "v1") -> str:
    request = ChatRequest(version, ({"role": "user", "content": text},), max_tokens=4)
    return "".join([piece.text async for piece in both.generate(request)])


async def settle(both: Replicas) -> Sequence[str]:
    """A look, and what it began."""
    told = await both.versions()
    await asyncio.gather(*(one.catching_up for one in both.replicas if one.catching_up is not None))
    return told


def test_a_conversation_stays_with_its_server_and_all_have_some() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        said = {text: {await say(both, text) for _ in range(3)} for text in map(str, range(40))}
        assert all(len(names) == 1 for names in said.values())
        assert {name for names in said.values() for name in names} == {"n0", "n1", "n2"}

    use(work, number=3)


def test_one_that_has_much_more_to_do_is_not_given_more() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        await asyncio.gather(*(say(both, "the same opening") for _ in range(40)))
        assert abs(ones[0].asked - ones[1].asked) <= SLACK
        assert all(replica.running == 0 for replica in both.replicas)

    use(work)


@pytest.mark.parametrize("error", [Away("gone"), Busy("full"), NotLoaded("lost")], ids=["away", "busy", "lost"])
def test_one_that_cannot_begin_gives_way_to_another(error: Unavailable) -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        ones[0].fails = error
        assert {await say(both, str(number)) for number in range(20)} == {"n1"}
        ones[1].fails = error
        with pytest.raises(Unavailable):
            await say(both)

    use(work)


def test_a_request_that_makes_a_server_fail_is_not_given_to_the_others() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        for one in ones:
            one.fails = Unavailable("The model server failed (status 500).")
        with pytest.raises(Unavailable, match="status 500"):
            await say(both)
        assert sum(one.asked for one in ones) == 1
        for one in ones:
            one.fails = None
        assert await say(both) in ("n0", "n1"), "and nobody else suffers for it"

    use(work)


def test_an_answer_that_breaks_off_is_never_begun_again() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        for one in ones:
            one.breaks = True
        with pytest.raises(Unavailable, match="broke"):
            await say(both)
        assert sum(one.asked for one in ones) == 1

    use(work)


def test_one_that_was_away_has_what_it_missed_before_it_is_asked_for_it() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        ones[1].away = True
        assert await settle(both) == ["v1"]
        assert both.trouble.startswith("Server 2 of 2 does not answer")
        await both.load("v2", "/adapters/v2")
        ones[1].restart()
        ones[1].away, ones[1].load_seconds = False, 0.02
        await both.versions()
        assert {await say(both, str(number), "v2") for number in range(9)} == {"n0"}
        assert await settle(both) == ["v1", "v2"]
        assert both.trouble == ""
        assert {await say(both, str(number), "v2") for number in range(20)} == {"n0", "n1"}

    use(work)


def test_what_is_loaded_during_a_look_is_not_taken_for_lost() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        ones[0].look_seconds = 0.01
        await asyncio.gather(both.versions(), both.load("v2", "/adapters/v2"))
        assert "v2" in both.replicas[0].loaded and both.replicas[0].catching_up is None

    use(work)


def test_when_none_answers_that_is_said_and_when_all_lost_it_it_is_loaded_again() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        for one in ones:
            one.away = True
        with pytest.raises(Away):
            await both.versions()
        with pytest.raises(Unavailable, match="None of the model servers"):
            await say(both)
        with pytest.raises(Away):
            await both.load("v2", "/adapters/v2")
        for one in ones:
            one.restart()
            one.away = False
        assert await both.versions() == []
        with pytest.raises(NotLoaded):
            await say(both)

    use(work)


def test_one_that_refuses_a_version_leaves_the_others_serving_it_unproved() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        ones[1].refuses = True
        await both.load("v2", "/adapters/v2")
        assert {await say(both, str(number), "v2") for number in range(20)} == {"n0"}
        assert both.trouble == "Server 2 of 2 does not load v2: No adapter found there."
        with pytest.raises(Refused, match="Server 2 of 2 does not load v2"):
            await both.fingerprint("v2")
        ones[0].refuses = True
        with pytest.raises(Refused, match="No adapter"):
            await both.load("v3", "/adapters/v3")
        ones[0].refuses = ones[1].refuses = False
        await settle(both)
        assert "v3" not in await settle(both) and both.trouble == ""
        assert (await both.fingerprint("v2")).digest == "v2 sound"
        await both.unload("v2")
        assert await both.versions() == ["v1"]

    use(work)


def test_a_version_is_proved_where_all_that_answer_agree() -> None:
    async def work(both: Replicas, ones: list[One]) -> None:
        assert (await both.fingerprint("v1")).digest == "v1 sound"
        ones[1].weights = "exchanged"
        with pytest.raises(Refused, match="Server 2 of 2 answers as v1 otherwise than Server 1 of 2"):
            await both.fingerprint("v1")
        ones[1].away = True
        await both.versions()
        assert (await both.fingerprint("v1")).digest == "v1 sound", "who is away answers nobody"
        ones[1].restart()
        ones[1].away = False
        await both.versions()
        with pytest.raises(NotLoaded, match="does not have v1 yet"):
            await both.fingerprint("v1")

    use(work)


def settings(server: str, url: str) -> Settings:
    from pathlib import Path

    gateway = GatewaySettings(server=server, upstream_url=url, upstream_model="m")
    return Settings(home=Path("home"), models_home=Path("models"), gateway=gateway)


def test_several_addresses_are_several_servers_and_one_is_itself() -> None:
    several = connect(settings("vllm", "http://one/v1, http://two/v1"), key="k")
    assert isinstance(several, Replicas)
    servers = [one.server for one in several.replicas]
    assert [one.base_url for one in servers if isinstance(one, VLLM)] == ["http://one/v1", "http://two/v1"]
    assert not isinstance(connect(settings("vllm", "http://one/v1"), key="k"), Replicas)
    assert not isinstance(connect(settings("scripted", "http://one/v1,http://two/v1"), key="k"), Replicas)
    with pytest.raises(InvalidInput, match="twice"):
        connect(settings("vllm", "http://one/v1,http://one/v1"), key="k")
