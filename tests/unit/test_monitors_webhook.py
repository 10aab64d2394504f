"""Webhooks: signed, never to hosts inside the network, never along a redirect; and which answers are worth retrying."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from core.errors import InvalidInput
from core.notify import Notice
from monitors.channels import Rejected, Retry, apprise_url, check
from monitors.channels.addresses import check_url, is_public
from monitors.channels.webhook import ALLOW_PRIVATE, SIGNATURE, TIMESTAMP, Webhook, sign

NOTICE = Notice("k1", "title", "text", {"key": "k1", "alerts": []})
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SECRET = "a secret of enough length"
PUBLIC = "93.184.215.14"

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.9.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "fe80::1%eth0", "fec0::1",
]  # fmt: skip
HOSTILE_URLS = [
    "ftp://example.com/x", "file:///etc/passwd", "gopher://example.com", "javascript:alert(1)", "example.com/x", "",
    "http://", "https://:443/", "http://user:secret@example.com/", "http://example.com:0/", "http://example.com:99999/",
    "http://exa mple.com/", "http://example.com/\nHost: inside", "http://[::1]/", "http://[::ffff:10.0.0.1]/",
    "http://127.0.0.1:8700/", "https://169.254.169.254/latest/meta-data/", "http://0.0.0.0/", "http://10.1.2.3/",
]  # fmt: skip


def always(*addresses: str) -> Callable[[str, int], Sequence[str]]:
    return lambda host, port: addresses


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_refused_at_save(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(InvalidInput):
        check_url("https://hook.example/x", allow_private=False, lookup=always(PUBLIC, address))


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_pass(address: str) -> None:
    check_url("https://hook.example/x", allow_private=False, lookup=always(address))


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_hostile_urls_are_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check("webhook", {"url": url, "secret": SECRET}, allow_private=False)
    assert refused.value.message.endswith(".") and SECRET not in str(refused.value)


def test_decimal_and_hexadecimal_hosts_are_looked_up_and_refused() -> None:
    for host in ("2130706433", "0x7f000001", "017700000001", "127.1"):
        with pytest.raises(InvalidInput):
            check_url(f"http://{host}/", allow_private=False)


def test_a_name_without_address_and_a_short_secret_are_told() -> None:
    def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError

    with pytest.raises(InvalidInput, match="cannot be found"):
        check_url("https://nowhere.example", allow_private=False, lookup=nowhere)
    with pytest.raises(InvalidInput, match="too short"):
        Webhook(always(PUBLIC)).check({"url": "https://hook.example", "secret": "x"}, allow_private=False)
    with pytest.raises(InvalidInput, match="no channel named pigeon"):
        check("pigeon", {}, allow_private=False)


class Server:
    """A receiver on the loopback that answers with the statuses given and keeps what came."""

    def __init__(self, *statuses: int, **headers: str) -> None:
        self.statuses, self.headers, self.got = list(statuses), headers, list[tuple[Any, bytes]]()

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((request.headers, await request.read()))
        return web.Response(status=self.statuses.pop(0), headers=self.headers)

    def send(self, config: Any = None, lookup: Any = None, host: str = "hook.example") -> None:
        async def run() -> None:
            app = web.Application()
            app.router.add_post("/in", self.answer)
            runner = web.AppRunner(app)
            await runner.setup()
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            await web.TCPSite(runner, "127.0.0.1", port).start()
            url = f"http://{host}:{port}/in"
            try:
                channel = Webhook(lookup or always("127.0.0.1"))
                await channel.send(
                    NOTICE, {"url": url, "secret": SECRET, ALLOW_PRIVATE: True, **(config or {})}, now=NOW
                )
            finally:
                await runner.cleanup()

        asyncio.run(run())


def test_the_notice_arrives_signed_with_its_key() -> None:
    server = Server(200)
    server.send()
    headers, body = server.got[0]
    assert headers["Idempotency-Key"] == "k1"
    assert headers[SIGNATURE] == sign(SECRET, int(headers[TIMESTAMP]), body)
    assert headers[SIGNATURE] != sign("another secret of length", int(headers[TIMESTAMP]), body)


@pytest.mark.parametrize(
    ("status", "error"), [(500, Retry), (503, Retry), (429, Retry), (408, Retry), (404, Rejected), (400, Rejected)]
)
def test_which_answers_are_worth_another_try(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=str(status)):
        Server(status).send()


def test_retry_after_is_passed_on() -> None:
    with pytest.raises(Retry) as told:
        Server(429, **{"Retry-After": "17"}).send()
    assert told.value.after_seconds == 17


def test_a_redirect_is_not_followed() -> None:
    server = Server(302, Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(Rejected, match="redirects are not followed"):
        server.send()
    assert len(server.got) == 1


def test_a_name_that_moves_inside_after_the_save_is_not_reached() -> None:
    server = Server(200)
    with pytest.raises(Rejected, match="private network"):
        server.send({ALLOW_PRIVATE: False})
    with pytest.raises(Rejected, match="private network"):
        server.send({ALLOW_PRIVATE: False}, host="127.0.0.1")
    assert server.got == []


def test_a_port_nobody_listens_on_is_worth_another_try() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"url": f"http://hook.example:{port}/", "secret": SECRET, ALLOW_PRIVATE: True}
    with pytest.raises(Retry):
        asyncio.run(Webhook(always("127.0.0.1")).send(NOTICE, config, now=NOW))


@pytest.mark.slow
@pytest.mark.parametrize("url", ["file:///tmp/x", "dbus://", "syslog://", "json://127.0.0.1/x", "notakind://x", ""])
def test_apprise_urls_that_stay_on_this_machine_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check("apprise_url", {"url": url}, allow_private=False)


@pytest.mark.slow
def test_a_service_of_apprise_passes() -> None:
    check("apprise_url", {"url": "ntfys://a-topic"}, allow_private=False)


@pytest.mark.parametrize("hanging", ["a service of Apprise", "a name server"])
def test_what_hangs_leaves_the_threads_that_the_process_shares(monkeypatch: pytest.MonkeyPatch, hanging: str) -> None:
    """What it held up would be the pulse, the commands and the notices of all other channels."""
    over = threading.Event()
    by_name = hanging == "a name server"

    def look_up(host: str, port: int) -> list[str]:
        over.wait(20)
        return ["127.0.0.1"]

    class Hanging:
        def notify(self, **_: str) -> bool:
            return over.wait(20)

    monkeypatch.setattr(apprise_url, "_service", lambda url: Hanging())

    async def follow() -> list[Any]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        channel = Webhook(look_up) if by_name else apprise_url.AppriseUrl()
        url = "http://hook.example/x" if by_name else "ntfys://a-topic"
        sends = [asyncio.create_task(channel.send(NOTICE, {"url": url, "secret": SECRET}, now=NOW)) for _ in range(4)]
        await asyncio.sleep(0.05)
        try:
            async with asyncio.timeout(5):
                assert await asyncio.to_thread(lambda: "a pulse") == "a pulse"
        finally:
            over.set()
        return await asyncio.gather(*sends, return_exceptions=True)

    found = asyncio.run(follow())
    assert [type(one) for one in found] == [Rejected if by_name else type(None)] * 4
