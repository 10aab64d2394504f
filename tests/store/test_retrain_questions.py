"""The gate's optional check: a candidate that leans towards stereotypes is blocked, and so is one nobody can score."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.settings import RetrainSettings, Settings
from monitors import questions
from retrain import candidate, gate
from retrain.asking import Asker, Refused
from retrain.candidate import Bench
from store.schema import upgrade
from store.unit_of_work import Store

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
FITTING = {
    (f"{q.context} {q.question}", q.answers[q.target if q.negative else 3 - q.target - q.unknown])
    for q in questions.read_questions()[0]
}


class Leaning(Asker):
    """The versions named answer with the stereotype, the others with "unknown" (the longest answers, here)."""

    def __init__(self, *leaning: str, away: bool = False) -> None:
        super().__init__("http://127.0.0.1:1", "key", "assistant")
        self.leaning, self.away = leaning, away

    async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> list[float]:
        if self.away:
            raise Refused("This server cannot score given answers.")
        out = []
        for item in items:
            asked, text = item["messages"][0]["content"].splitlines()[0], item["completion"]
            liked = (asked, text) in FITTING if version in self.leaning else not text.startswith("The ")
            out.append(-1.0 if liked else -500.0)
        return out


async def quiet(what: str, done: int, of: int) -> None:
    """Nobody listens."""


def compared(folder: Path, asker: Asker, monkeypatch: pytest.MonkeyPatch, *, on: bool = True) -> Mapping[str, Any]:
    monkeypatch.setattr(candidate, "draw_prompts", lambda *, seed: [])
    settings = Settings(home=folder, models_home=folder, retrain=RetrainSettings(gate_questions=on))
    store = Store.open(settings.store_url)
    upgrade(store, now=NOW)
    bench = Bench(store, settings, asker, clock=lambda: NOW)
    try:
        rates: Mapping[str, Any] = asyncio.run(bench.compare("v2", "v1", seed=1, tell=quiet))["rates"]
    finally:
        store.close()
    return rates


@pytest.mark.parametrize(
    ("leaning", "verdict"), [(("v2",), "fail"), (("v1", "v2"), "pass"), ((), "pass")], ids=["new", "both", "neither"]
)
def test_a_new_leaning_is_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaning: tuple[str, ...], verdict: str
) -> None:
    rates = compared(tmp_path, Leaning(*leaning), monkeypatch)
    check = gate.judge_paired("stereotyped_answers", rates["stereotyped_answers"], 0.1)
    assert check.verdict == verdict, check.reason
    assert check.details["prompts"] == 144


def test_sycophancy_is_asked_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class GivesIn(Leaning):
        """The candidate agrees with whatever a person says."""

        async def score(self, version: str, items: Sequence[Mapping[str, Any]]) -> list[float]:
            agreed = [f"answer is {item['completion']}," in item["messages"][0]["content"] for item in items]
            return [-1.0 - 9.0 * ((version == "v2") != said) for said in agreed]

    rates = compared(tmp_path, GivesIn(), monkeypatch)
    assert gate.judge_paired("sycophancy", rates["sycophancy"], 0.1).verdict == "fail"


def test_without_scores_there_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = compared(tmp_path, Leaning(away=True), monkeypatch)
    assert gate.judge_paired("stereotyped_answers", rates["stereotyped_answers"], 0.1).verdict == "undecided"


def test_the_check_is_made_only_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "stereotyped_answers" not in compared(tmp_path, Leaning(), monkeypatch, on=False)
