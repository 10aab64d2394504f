"""Model servers, one a file. `connect` gives the one that the settings name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core.errors import InvalidInput, NotFound
from core.ports import Server
from core.registry import Registry
from core.settings import Settings

SERVERS: Registry[Any] = Registry("server", "gateway.servers")


def connect(settings: Settings, *, key: str) -> Server:
    """The server named by `gateway.server`. `key` is the installation's internal key. Raises InvalidInput.

    Several addresses in gateway.upstream_url are servers that answer as one; one address twice raises InvalidInput. It
    opens no connection yet: that happens at the first call, in the running event loop.
    """
    try:
        kind = SERVERS.get(settings.gateway.server)
    except NotFound as error:
        raise InvalidInput(error.message, f"Correct gateway.server. {error.remedy}") from None
    addresses = [one.strip() for one in settings.gateway.upstream_url.split(",") if one.strip()]
    if len(addresses) < 2 or not kind.upstreams:
        server: Server = kind.from_settings(settings, key)
        return server
    if len(set(addresses)) < len(addresses):
        raise InvalidInput("gateway.upstream_url names one server twice.", "Give each address once.")
    from gateway.replicas import Replicas

    gateways = [replace(settings.gateway, upstream_url=address) for address in addresses]
    return Replicas([kind.from_settings(replace(settings, gateway=gateway), key) for gateway in gateways])
