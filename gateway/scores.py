"""POST /internal/score: how likely a version holds given answers, for the monitors that compare versions by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.auth import Caller
from gateway.context import Gateway
from gateway.errors import Invalid
from gateway.web import Web

MOST_ITEMS = 64


async def score(gateway: Gateway, web: Web, caller: Caller) -> None:
    """The summed log-probability of each item's `completion` after its `messages` under `version`, loaded first.

    Answers 400 (`refused_by_server`) where the model server cannot score at all.
    """
    body = await web.read_object(gateway.settings.gateway.max_body_bytes)
    version, items = read_items(body)
    await gateway.router.ensure(version)
    scores = await gateway.server.score(version, items)
    told = {"version": version, "logprobs": list(scores)}
    await web.reply(200, json.dumps(told).encode(), {"content-type": "application/json"})


def read_items(body: Mapping[str, Any]) -> tuple[str, list[Mapping[str, Any]]]:
    """The version and the items in `body`. Raises Invalid that names the field."""
    version, items = body.get("version"), body.get("items")
    if not isinstance(version, str) or not version:
        raise Invalid("version must be the name of a version.", param="version")
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
        raise Invalid(f"items must be a list of 1 to {MOST_ITEMS} entries.", param="items")
    for item in items:
        if not (
            isinstance(item, dict)
            and isinstance(item.get("messages"), list)
            and isinstance(item.get("completion"), str)
        ):
            raise Invalid("Each item needs messages and a completion.", param="items")
    return version, items
