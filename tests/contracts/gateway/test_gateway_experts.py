"""GET /internal/experts over a real gateway, and the monitors' client of it."""

from __future__ import annotations

import pytest

from core.errors import Unavailable
from core.ports import ExpertLoad
from gateway.servers.scripted import Scripted
from monitors.experts import ask_experts

from .conftest import INTERNAL, World

LOAD = ExpertLoad(3, 30, 300, 1, ((20, 10),), ((140, 50),), ((200, 100),))


def test_the_live_version_or_another_is_asked_for_and_nothing_is_told_as_null(world: World) -> None:
    live = world.send("GET", "/internal/experts", key=INTERNAL).json
    assert live == {"version": "assistant-base", "load": None}
    other = world.send("GET", "/internal/experts?version=assistant-v1", key=INTERNAL).json
    assert other["version"] == "assistant-v1"
    assert world.send("GET", "/internal/experts?version=nobody", key=INTERNAL).status == 404
    assert ask_experts(version="assistant-v1", gateway_url=world.url, key=INTERNAL, deadline_seconds=30) is None


def test_the_client_reads_what_the_server_reports(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def experts(self: Scripted, version: str) -> ExpertLoad | None:
        return LOAD

    monkeypatch.setattr(Scripted, "experts", experts)
    found = ask_experts(version="assistant-base", gateway_url=world.url, key=INTERNAL, deadline_seconds=30)
    assert found == ExpertLoad(3, 30, 300, 1, [[20, 10]], [[140, 50]], [[200, 100]])


@pytest.mark.parametrize("how", [{"key": "tk-wrong"}, {"version": "nobody"}, {"gateway_url": "http://127.0.0.1:9"}])
def test_the_client_says_that_no_load_is_to_be_had(world: World, how: dict[str, str]) -> None:
    asked = {"version": "assistant-base", "gateway_url": world.url, "key": INTERNAL, **how}
    with pytest.raises(Unavailable):
        ask_experts(deadline_seconds=30, **asked)
