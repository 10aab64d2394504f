"""Versions side by side: asked the same by turns, each measure with its interval, as a command that pages ask for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.errors import Forbidden, InvalidInput
from core.ports import Fingerprint, ProbePrompt
from core.settings import CostSettings, Settings
from core.types import Inference
from retrain import candidate, comparison, orders
from retrain.asking import Answer, Answering, Asker, Refused
from retrain.candidate import Bench
from store import audit, commands, inferences, tables
from store.unit_of_work import Store
from tests.stores import make_store
from trimtab.commands.compare import say

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


class Versions(Asker):
    """ "frank" answers, "shy" refuses every third question, "slow" takes twice as long; others are not there."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")
        self.asked: list[str] = []
        self.spent, self.load_seconds = 0.0, 0.0

    async def fingerprint(self, version: str = "") -> Answering:
        if version not in ("frank", "shy", "slow"):
            raise Refused(f"There is no version {version}.")
        return Answering(version, 1, Fingerprint(version))

    async def answer(self, version: str, messages: Any, *, max_tokens: int, seed: int) -> Answer:
        if not self.asked or self.asked[-1] != version:
            self.asked.append(version)
            self.spent += self.load_seconds
        self.spent += 0.2 if version == "slow" else 0.1
        if version == "shy" and int(messages[-1]["content"].split()[-1]) % 3 == 0:
            return Answer("I'm sorry, but I can't help with that.", 12)
        return Answer("It comes tomorrow.", 12)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path / 'trimtab.db'}", now=NOW)
    with opened.write(NOW) as tx:
        for name, role in (("otto", "operator"), ("vera", "viewer")):
            tx.insert(tables.accounts, name=name, role=role, password_hash="none", active=True, created_at=NOW)
        rows = []
        for number in range(72):
            prompt = f"Where is parcel {number}"
            messages = [{"role": "user", "content": prompt}]
            rows.append(Inference(f"i-{number}", NOW, "assistant", "frank", "live", messages, prompt, "On its way."))
        inferences.record(tx, rows)
    yield opened
    opened.close()


@pytest.fixture
def bench(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    messages = [{"role": "user", "content": "How do I return parcel 1"}]
    probes = [ProbePrompt(str(n), "toy", messages, n % 2 == 0, "refusal") for n in range(108)]
    monkeypatch.setattr(candidate, "draw_prompts", lambda *, seed: probes)
    asker = Versions()
    settings = Settings(tmp_path, tmp_path, cost=CostSettings(server_hour=36.0, completion_million=5.0))
    return Bench(store, settings, asker, clock=lambda: NOW + timedelta(seconds=asker.spent))


async def quiet(what: str, done: int, of: int) -> None:
    """Nobody listens."""


def test_each_measure_has_a_value_and_a_difference_from_the_first(bench: Bench) -> None:
    found = asyncio.run(comparison.compare(bench, ["frank", "shy", "slow", "frank"], tell=quiet))
    assert (found["baseline"], found["prompts"], list(found["versions"])) == ("frank", 180, ["frank", "shy", "slow"])
    shy, slow = found["versions"]["shy"], found["versions"]["slow"]
    assert shy["refusal_rate"]["value"]["value"] == pytest.approx(1 / 3)
    assert shy["refusal_rate"]["difference"]["low"] > 0.15
    assert slow["refusal_rate"]["difference"]["value"] == 0 and slow["refusal_rate"]["difference"]["high"] < 0.1
    pace = slow["seconds_a_token"]
    assert pace["value"]["value"] == pytest.approx(0.2 / 12) and pace["difference"]["low"] == pytest.approx(1.0)
    # Twelve tokens at 5 a million, and 0.2 seconds of a server at 0.01 a second.
    money = slow["cost_of_1000_answers"]
    assert (money["currency"], money["value"]["n"]) == ("EUR", 180)
    assert [money["value"][end] for end in ("low", "value", "high")] == pytest.approx([2.06] * 3), "nothing varies here"
    assert [money["difference"][end] for end in ("low", "value", "high")] == pytest.approx([1.0] * 3)
    assert found["versions"]["frank"]["cost_of_1000_answers"]["difference"]["high"] == pytest.approx(0.0)
    assert slow["tokens_an_answer"]["value"]["n"] == 180 and slow["tokens_an_answer"]["difference"]["high"] == 0
    assert "difference" in say(pace)
    assert say(money) == "2.06 EUR [2.06, 2.06], n = 180; difference 1 EUR [1, 1], n = 180"
    turns = [name for name, _ in itertools.groupby(bench.asker.asked)]  # type: ignore[attr-defined]
    assert turns[:6] == ["frank", "shy", "slow", "shy", "slow", "frank"], "who goes first changes"


def test_a_version_that_is_loaded_again_for_its_turn_is_no_slower_for_that(bench: Bench) -> None:
    """Of more versions than a server keeps, each is loaded anew for every turn."""
    bench.asker.load_seconds = 30.0  # type: ignore[attr-defined]
    found = asyncio.run(comparison.compare(bench, ["frank", "slow"], tell=quiet))
    assert found["versions"]["slow"]["seconds_a_token"]["value"]["value"] == pytest.approx(0.2 / 12)


def test_a_comparison_is_a_command_with_its_result(store: Store, bench: Bench) -> None:
    def ask(actor: str, *names: str) -> str:
        with store.write(NOW) as tx:
            return commands.ask(tx, "compare", owner="retrain", args={"versions": list(names)}, actor=actor)

    def row(uuid: str) -> Mapping[Any, Any]:
        with store.read() as tx:
            return commands.get(tx, uuid)

    with pytest.raises(Forbidden):
        ask("vera", "frank", "shy")
    uuid = ask("otto", "frank", "shy")
    with store.write(NOW) as tx:
        assert orders.obey(tx, bench.settings, "w1") == "", "proposals do not wait for it, nor take it"
    assert asyncio.run(orders.compare(bench, "w1")) == "compare done for otto"
    done = row(uuid)
    assert (done["state"], list(done["result"]["versions"])) == ("done", ["frank", "shy"])
    assert asyncio.run(orders.compare(bench, "w1")) == ""
    gone = ask("otto", "frank", "gone")
    asyncio.run(orders.compare(bench, "w1"))
    assert (row(gone)["state"], "no version gone" in row(gone)["message"]) == ("failed", True)
    with store.read() as tx:
        assert audit.verify(tx).bad is None


@pytest.mark.parametrize("names", [["frank"], ["frank", " frank "], [str(n) for n in range(7)]])
def test_two_to_six_versions_are_compared(names: list[str]) -> None:
    with pytest.raises(InvalidInput, match="cannot be compared"):
        comparison.check_names(names)
