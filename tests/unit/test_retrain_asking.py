"""Asking versions many things at once: whatever ends it is said as it would be of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.errors import Unavailable
from retrain.asking import AT_ONCE, Answer, Asker


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
