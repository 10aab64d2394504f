"""Asking versions many things at once: whatever ends it is said as it would be of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.errors import Unavailable
from retrain import asking
from retrain.asking import AT_ONCE, Answer, Asker, Refused


class Away(Asker):
    """A client whose gateway goes away after so many answers."""

    def __init__(self, answers: int) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")
        self.left = answers

    async def answer(self, version: str, messages: Any, *, max_tokens: int, seed: int) -> Answer:
        self.left -= 1
        await asyncio.sleep(0)
        if self.left < 0:
            raise Unavailable("The gateway does not answer.", "Start it, or look at its log.")
        return Answer("Yes.", 2)


def test_a_gateway_that_goes_away_is_said_by_its_name() -> None:
    asked = [[{"role": "user", "content": str(number)}] for number in range(3 * AT_ONCE)]
    with pytest.raises(Unavailable, match=r"^The gateway does not answer\."):
        asyncio.run(Away(AT_ONCE).answers("assistant-v1", asked, max_tokens=4, seed=0))
    found = asyncio.run(Away(len(asked)).answers("assistant-v1", asked, max_tokens=4, seed=0))
    assert len(found) == len(asked)


class Restarting(Asker):
    """A client whose gateway is away for so many requests, or says no."""

    def __init__(self, away: int, *, refuses: bool = False) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")
        self.away, self.refuses, self.calls = away, refuses, 0

    async def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        self.calls += 1
        if self.refuses:
            raise Refused("This server cannot score given answers.")
        if self.calls <= self.away:
            raise Unavailable("The gateway does not answer.", "Start it.")
        return {"logprobs": [-1.0 for _ in kwargs["json"]["items"]]}


ITEM = {"messages": [{"role": "user", "content": "Is it?"}], "completion": "Yes."}


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    told: list[float] = []

    async def sleep(seconds: float) -> None:
        told.append(seconds)

    monkeypatch.setattr(asking.asyncio, "sleep", sleep)
    return told


def test_a_gateway_that_starts_anew_is_waited_for_with_scores_as_with_answers(slept: list[float]) -> None:
    assert asyncio.run(Restarting(3).score("assistant-v1", [ITEM])) == [-1.0]
    assert slept == [0.5, 1.0, 2.0]


def test_a_gateway_that_stays_away_is_waited_for_a_minute(slept: list[float]) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(Restarting(10**6).score("assistant-v1", [ITEM]))
    assert asking.PATIENCE_SECONDS <= sum(slept) < asking.PATIENCE_SECONDS + 8


def test_a_server_that_cannot_score_is_asked_once(slept: list[float]) -> None:
    client = Restarting(0, refuses=True)
    with pytest.raises(Refused):
        asyncio.run(client.score("assistant-v1", [ITEM]))
    assert (client.calls, slept) == (1, [])
