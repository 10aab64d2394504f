"""The internal route that scores given answers: by which version, in which order, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Unavailable
from gateway.scoring import MOST_ITEMS
from monitors.scoring import score

from .conftest import INTERNAL, World

ITEM = {"messages": [{"role": "user", "content": "Who?"}], "completion": "the first person"}


def test_scores_come_back_in_order_from_the_live_version(world: World) -> None:
    items = [ITEM, {**ITEM, "completion": "nobody"}]
    told = world.send("POST", "/internal/score", {"items": items}, key=INTERNAL)
    assert told.status == 200 and told.json["logprobs"] == [-3.0, -1.0]
    assert told.json["version"] == "assistant-base" and told.json["deployment"] == "assistant"


@pytest.mark.parametrize(
    "items",
    [None, [], "x", [1], [{}], [{**ITEM, "completion": 3}], [{**ITEM, "messages": []}], [ITEM] * (MOST_ITEMS + 1)],
)
def test_what_is_no_list_of_items_is_refused(world: World, items: Any) -> None:
    assert world.send("POST", "/internal/score", {"items": items}, key=INTERNAL).status == 400


def test_an_unknown_version_is_not_scored(world: World) -> None:
    body = {"items": [ITEM], "version": "assistant-v9"}
    assert world.send("POST", "/internal/score", body, key=INTERNAL).status in (404, 503)


def test_the_monitors_client_reads_it(world: World) -> None:
    known = {"gateway_url": world.url, "key": INTERNAL, "deployment": "assistant"}
    assert score([ITEM], **known) == [-3.0]
    with pytest.raises(Unavailable, match="completion"):
        score([{"messages": []}], **known)
    with pytest.raises(Unavailable, match="does not answer"):
        score([ITEM], gateway_url="http://127.0.0.1:9", key="k", deployment="assistant")
