"""POST /internal/score over a real gateway, and the monitors' client of it."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import Unavailable
from gateway.scores import MOST_ITEMS
from monitors.ranking import AT_ONCE, ask_scores

from .conftest import INTERNAL, World

ITEM = {"messages": [{"role": "user", "content": "Where is it?"}], "completion": "on its way"}


def live(world: World) -> str:
    return str(world.chat().headers["x-trimtab-version"])


def test_scores_come_in_the_order_of_the_items(world: World) -> None:
    longer = {**ITEM, "completion": "on its way to you"}
    told = world.send("POST", "/internal/score", {"version": live(world), "items": [ITEM, longer]}, key=INTERNAL)
    assert told.status == 200 and told.json["logprobs"] == [-3.0, -5.0]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"version": "", "items": [ITEM]},
        {"version": 3, "items": [ITEM]},
        {"version": "v", "items": []},
        {"version": "v", "items": "all"},
        {"version": "v", "items": [ITEM] * (MOST_ITEMS + 1)},
        {"version": "v", "items": [{"messages": []}]},
        {"version": "v", "items": [{"completion": "x"}]},
        {"version": "v", "items": [None]},
    ],
)
def test_what_is_no_list_of_items_is_refused(world: World, body: Any) -> None:
    assert world.send("POST", "/internal/score", body, key=INTERNAL).status == 400


def test_an_unknown_version_is_not_found_and_a_chat_key_may_not_ask(world: World) -> None:
    body = {"version": "nobody", "items": [ITEM]}
    assert world.send("POST", "/internal/score", body, key=INTERNAL).status == 404
    assert world.send("POST", "/internal/score", body).status == 403


def test_the_client_asks_in_parts_and_keeps_the_order(world: World) -> None:
    items = [{**ITEM, "completion": "word " * (n % 7 + 1)} for n in range(2 * AT_ONCE + 3)]
    found = ask_scores(items, version=live(world), gateway_url=world.url, key=INTERNAL, deadline_seconds=30)
    assert found == [-float(n % 7 + 1) for n in range(len(items))]


@pytest.mark.parametrize("how", [{"key": "tk-wrong"}, {"version": "nobody"}, {"gateway_url": "http://127.0.0.1:9"}])
def test_the_client_says_that_no_scores_are_to_be_had(world: World, how: dict[str, str]) -> None:
    asked = {"version": live(world), "gateway_url": world.url, "key": INTERNAL, **how}
    with pytest.raises(Unavailable):
        ask_scores([ITEM], deadline_seconds=30, **asked)
