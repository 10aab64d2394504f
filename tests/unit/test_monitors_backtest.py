"""Backtests: looks as if live, the promise over the whole file, and what cannot be replayed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput, NotFound
from core.types import Inference
from monitors.backtest import Look, backtest, summarise, thinned
from tests.monitors_world import OTHER, SHOP, embed_words

AT = datetime(2026, 3, 2, tzinfo=UTC)


class Words:
    def embed(self, texts: Sequence[str]) -> Any:
        return embed_words(texts)


def traffic(n: int, change: int | None = None, seed: int = 1) -> list[Inference]:
    import random

    rng = random.Random(seed)
    out = []
    for i in range(n):
        words = OTHER if change is not None and i >= change else SHOP
        refused = change is not None and i >= change and i % 2 == 0
        out.append(
            Inference(
                uuid=str(i),
                at=AT + timedelta(minutes=5 * i),
                deployment="assistant",
                version="v",
                kind="import",
                messages=[],
                prompt=" ".join(rng.choices(words, k=rng.randint(4, 9))),
                response="I'm sorry, but I can't help with that." if refused else "It will arrive on Monday.",
            )
        )
    return out


def looks(rows: Sequence[Inference], monitor: str = "prompt_drift", **values: Any) -> list[Look]:
    chosen = {"reference": 300, "every": 50, "budget": 0.1, "encoder": Words(), "seed": 1, **values}
    return list(backtest(monitor, rows, **chosen))


def test_looks_count_what_was_read_and_one_ends_the_file() -> None:
    found = looks(traffic(520))
    assert [look.seen for look in found] == [350, 400, 450, 500, 520]
    assert [look.look for look in found] == [1, 2, 3, 4, 5]
    assert not any(look.alarm for look in found)
    for look in found:
        assert look.value is not None and look.low <= look.value <= look.high and look.n > 0


@pytest.mark.parametrize("monitor", ["prompt_drift", "refusal_rate"])
def test_a_change_alarms_once_and_the_backtest_goes_on(monitor: str) -> None:
    found = looks(traffic(700, change=420), monitor)
    (alarm,) = [look for look in found if look.alarm]
    assert 420 < alarm.seen <= 600 and found[-1].seen == 700
    told = summarise(monitor, found, rows=700, reference=300, every=50, budget=0.1)
    assert told["first_alarm_seen"] == alarm.seen and told["alarms"] == 1 and told["looks"] == 8


NEW = {
    "response_drift": {"response": "whisk the butter and simmer garlic, onion, basil"},
    "response_format": {"response": "and then " * 40},
    "response_language": {"response": "Das Paket ist auf dem Weg und wird bald bei dir sein."},
    "response_pii": {"response": "Write to anna.keller@firma.de about it."},
    "response_sentiment": {"response": "That is a terrible mistake, and I hate to tell you so."},
    "prompt_sentiment": {"prompt": "This is awful: the parcel is lost again and nobody cares."},
    "prompt_language": {"prompt": "Wo ist das Paket, das ich bestellt habe?"},
    "prompt_pii": {"prompt": "My number is +49 30 9018 2045, where is the parcel?"},
}


@pytest.mark.parametrize("monitor", NEW)
def test_every_monitor_of_prompts_and_answers_runs_on_a_file(monitor: str) -> None:
    calm = [replace(row, prompt=f"Where is my {row.prompt}?", response=f"It is {row.prompt}.") for row in traffic(600)]
    assert not any(look.alarm for look in looks(calm[:420], monitor))
    found = looks([*calm[:420], *(replace(row, **NEW[monitor]) for row in calm[420:])], monitor)
    (alarm,) = [look for look in found if look.alarm]
    assert 420 < alarm.seen <= 500 and found[-1].n > 0


@pytest.mark.slow
def test_how_often_one_looks_does_not_change_what_is_seen() -> None:
    rows = traffic(700, change=420)
    often, seldom = looks(rows, every=1), looks(rows, every=100)
    at = next(look.seen for look in often if look.alarm)
    assert next(look.seen for look in seldom if look.alarm) - at in range(100)
    assert (often[-1].value, often[-1].n) == (seldom[-1].value, seldom[-1].n)


def test_a_conversation_counts_once() -> None:
    rows = [replace(row, conversation="one") if i >= 300 else row for i, row in enumerate(traffic(400, change=300))]
    assert not any(look.alarm for look in looks(rows))


def test_thinned_conversations_are_kept_whole_by_their_first_row_alone() -> None:
    rows = [replace(row, conversation=f"{i // 3}") for i, row in enumerate(traffic(900))]
    kept = thinned(rows, 4, seed=2)
    assert 50 < len(kept) < 100 and all(place % 3 == 0 and rows[place] is row for place, row in kept)
    assert [place for place, _ in thinned(rows[:600], 4, seed=2)] == [place for place, _ in kept if place < 600]
    other = thinned([replace(row, response="No.", prompt="?") for row in rows], 4, seed=2)
    assert [place for place, _ in other] == [place for place, _ in kept], "what rows say decides nothing"
    assert [row for _, row in thinned(rows, 1, seed=2)] == rows
    with pytest.raises(InvalidInput, match="at least 1"):
        thinned(rows, 0, seed=2)


@pytest.mark.slow
def test_thinned_histories_keep_the_promise() -> None:
    """100 quiet histories of which one row in three is read, at budget 0.3: over 50 alarms come once in 50,000."""
    quiet = [traffic(1, change=0)[0], traffic(1)[0]]
    alarms = 0
    for seed in range(100):
        luck = np.random.default_rng(seed)
        rows = [quiet[luck.random() > 0.1] for _ in range(900)]
        kept = [row for _, row in thinned(rows, 3, seed)]
        found = looks(kept, "refusal_rate", reference=100, every=10, budget=0.3, seed=seed)
        alarms += any(look.alarm for look in found)
    assert alarms <= 50


@pytest.mark.parametrize(
    ("monitor", "values", "words"),
    [
        ("latency", {}, "cannot be backtested"),
        ("negative_feedback", {}, "cannot be backtested"),
        ("prompt_drift", {"reference": 600}, "600 rows, and the reference"),
        ("prompt_drift", {"reference": 50}, "it needs 100"),
        ("prompt_drift", {"reference": 0}, "count rows"),
        ("prompt_drift", {"every": 0}, "count rows"),
        ("prompt_drift", {"budget": 1.0}, "not a probability"),
        ("prompt_drift", {"encoder": None}, "needs the encoder"),
    ],
)
def test_what_cannot_be_replayed_is_told_with_its_remedy(monitor: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        looks(traffic(600), monitor, **values)


def test_an_unknown_monitor_is_named_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="prompt_drift"):
        looks(traffic(400), "nothing")


def test_answers_are_needed_for_monitors_of_answers() -> None:
    rows = [replace(row, response="") for row in traffic(400)]
    with pytest.raises(InvalidInput, match="holds 0 rows"):
        looks(rows, "refusal_rate")


@pytest.mark.slow
def test_quiet_files_alarm_no_more_often_than_the_budget() -> None:
    alarms = sum(any(look.alarm for look in looks(traffic(700, seed=seed), every=100)) for seed in range(40))
    assert alarms <= 12  # P(Binomial(40, 0.1) > 12) < 1e-4


@pytest.mark.model
def test_the_real_streams(prepared_models: Path, public_data: Path) -> None:
    from models.encoder import Encoder

    encoder = Encoder(prepared_models / "encoder", threads=1)
    for name, onset in (("clinc_control", None), ("clinc_sudden", 2200)):
        rows = []
        with gzip.open(public_data / "streams" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for i, row in enumerate(map(json.loads, lines)):
                at = datetime.fromisoformat(row["ts"])
                rows.append(replace(traffic(1)[0], uuid=str(i), at=at, prompt=row["text"], response=""))
        rows = rows[:2700]
        found = looks(rows, reference=1000, every=100, encoder=encoder)
        alarms = [look.seen for look in found if look.alarm]
        assert alarms == ([] if onset is None else [2300])
