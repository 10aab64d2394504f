"""Log-probabilities of given answers, for Trimtab's own processes: what likelihood-scored questions are asked with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InvalidInput
from gateway.auth import Caller
from gateway.context import Gateway
from gateway.status import JSON
from gateway.web import Web

MOST_ITEMS = 256


async def score(gateway: Gateway, web: Web, caller: Caller) -> None:
    """The summed natural-log probability of each completion under the live version, or `version`, loaded first."""
    body = await web.read_object(gateway.settings.gateway.max_body_bytes)
    items = read_items(body.get("items"))
    deployment = str(body.get("deployment") or gateway.settings.deployment)
    version = str(body.get("version") or gateway.router.resolve(deployment).version)
    await gateway.router.ensure(version)
    logprobs = await gateway.server.score(version, items)
    told = {"deployment": deployment, "version": version, "logprobs": [float(value) for value in logprobs]}
    await web.reply(200, json.dumps(told).encode(), JSON)


def read_items(value: Any) -> Sequence[Mapping[str, Any]]:
    """The items to score, each {messages, completion}. Raises InvalidInput."""
    if not isinstance(value, list) or not 0 < len(value) <= MOST_ITEMS:
        raise InvalidInput(f"items must be a list of 1 to {MOST_ITEMS} entries.", "Send fewer at a time.")
    for item in value:
        if not isinstance(item, dict) or not isinstance(item.get("completion"), str) or not item.get("messages"):
            raise InvalidInput("An item lacks its messages or its completion.", "Send both in each item.")
    return value
