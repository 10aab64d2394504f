"""GET /internal/experts: where a mixture of experts sends the tokens that it serves, for the monitor of that."""

from __future__ import annotations

import json
from dataclasses import asdict

from gateway.auth import Caller
from gateway.context import Gateway
from gateway.web import Web


async def experts(gateway: Gateway, web: Web, caller: Caller) -> None:
    """The expert load of the live version, or of `?version=`; null where the model server reports none."""
    version = web.query("version") or gateway.router.resolve(gateway.settings.deployment).version
    await gateway.router.ensure(version)
    load = await gateway.server.experts(version)
    told = {"version": version, "load": asdict(load) if load is not None else None}
    await web.reply(200, json.dumps(told).encode(), {"content-type": "application/json"})
