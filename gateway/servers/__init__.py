"""Model servers, one a file. `connect` gives the one that the settings name."""

from __future__ import annotations

from typing import Any

from core.ports import Server
from core.registry import Registry
from core.settings import Settings

SERVERS: Registry[Any] = Registry("server", "gateway.servers")


def connect(settings: Settings, *, key: str) -> Server:
    """The server named by `gateway.server`. `key` is the installation's internal key. Raises NotFound.

    It opens no connection yet: that happens at the first call, in the running event loop.
    """
    server: Server = SERVERS.get(settings.gateway.server).from_settings(settings, key)
    return server
