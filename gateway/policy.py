"""Who may reach a route: every one has a policy, and the guard applies it before the endpoint runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.errors import Forbidden, TrimtabError
from gateway.auth import OPEN, Caller
from gateway.bodies import Gone, Receive
from gateway.context import Gateway
from gateway.errors import tell
from gateway.web import Send, Web


class Policy(StrEnum):
    """open: anyone; chat: any valid key; internal: Trimtab's own processes."""

    OPEN = "open"
    CHAT = "chat"
    INTERNAL = "internal"


Endpoint = Callable[[Gateway, Web, Caller], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A route of the gateway."""

    method: str
    path: str
    policy: Policy
    endpoint: Endpoint


class Guard:
    """An entry as an ASGI app: policy first, then the endpoint; every failure becomes an error object."""

    def __init__(self, gateway: Gateway, entry: Entry) -> None:
        self.gateway, self.entry = gateway, entry

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        web = Web(scope, receive, send)
        try:
            caller = await admit(self.gateway, self.entry.policy, web)
            await self.entry.endpoint(self.gateway, web, caller)
        except Gone:
            web.status = web.status or 499
        except Exception as error:
            await self._refuse(web, error)
        finally:
            self.gateway.meters.count(self.entry.path, web.status)

    async def _refuse(self, web: Web, error: Exception) -> None:
        told = tell(error)
        if not isinstance(error, TrimtabError):
            self.gateway.tell(f"{self.entry.path} failed: {type(error).__name__}: {error}")
        if web.started:
            return
        headers = told.headers()
        if told.status in (401, 403, 408, 413, 415):
            await web.drain()
            headers["connection"] = "close"
        await web.reply(told.status, told.body(), headers)


async def admit(gateway: Gateway, policy: Policy, web: Web) -> Caller:
    """The caller, if `policy` lets it in. Raises BadKey, Forbidden or Unavailable."""
    if policy is Policy.OPEN:
        return OPEN
    caller = await gateway.keyring.identify(web.header("authorization"))
    if policy is Policy.INTERNAL and not caller.internal:
        raise Forbidden("This key may not ask that.", "It is for Trimtab's own processes.")
    return caller
