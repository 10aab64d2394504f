"""Group gaps: a planted one is found with its group first, none is invented, small groups are hidden with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from core.types import Inference, Plan, Sampled, Window
from monitors.metrics import metrics

GAPS = metrics.get("group_gaps")
AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
REFUSED, ANSWERED = "I cannot help with that.", "Here is your answer."
CHANNELS, PLANS = ["web", "app", "phone", "mail"], ["free", "paid"]


def row(key: int, labels: dict[str, str], *, refused: bool = False, p: float = 1.0, **values: Any) -> Sampled:
    negative = values.pop("negative", None)
    told = {"kind": "live", "prompt": "where is it", "response": REFUSED if refused else ANSWERED, **values}
    made = Inference(uuid=str(key), at=AT, deployment="a", version="v", messages=[], id=key, labels=labels, **told)
    return Sampled(made, p, negative)


def window(rows: list[Sampled]) -> Window:
    return Window("current", 1, len(rows), Plan("all", len(rows), len(rows), 0), rows)


def traffic(seed: int, n: int, *, gap: float = 0.0, users: int = 0) -> list[Sampled]:
    """Rows of random groups; those of "phone" are refused by `gap` more. With `users`, each has a rate of their own."""
    rng = np.random.default_rng(seed)
    own = rng.beta(0.4, 3.6, users) if users else np.array([0.1])
    side = rng.integers(4, size=max(users, 1))
    out = []
    for key in range(1, n + 1):
        user = int(rng.integers(len(own)))
        channel = CHANNELS[side[user] if users else rng.integers(4)]
        rate = own[user] + (gap if channel == "phone" else 0.0)
        labels = {"channel": channel, "plan": PLANS[rng.integers(2)]}
        values = {"latency_ms": float(rng.exponential(100)), "negative": float(rng.random() < 0.2)}
        out.append(row(key, labels, refused=bool(rng.random() < rate), user=f"u{user}" if users else "", **values))
    return out


def invented(seed: int, **values: Any) -> bool:
    """Whether any interval of a look leaves out 0."""
    found = GAPS.measure(None, window(traffic(seed, 240, **values)), {})
    return bool((found[0].estimate.low or 0.0) > 0.0)


def test_a_planted_gap_is_first_with_its_group_and_count() -> None:
    found = GAPS.measure(None, window(traffic(1, 1600, gap=0.15)), {})
    worst, first = found[0], found[1]
    assert worst.metric == "group_gaps" and (worst.estimate.low or 0) > 0.02
    assert worst.details["dimension"] == "channel=phone" and worst.details["of"] == "refusal_gap"
    assert (first.metric, first.segment) == ("refusal_gap", "channel=phone")
    assert first.details["group"]["n"] == first.estimate.n > 300
    assert first.details["group"]["value"] - first.details["rest"]["value"] == pytest.approx(first.estimate.value)
    assert len(found) == 1 + 5 * (4 + 2)


@pytest.mark.slow
@pytest.mark.parametrize("users", [0, 120], ids=["rows", "users who repeat"])
def test_no_gap_is_invented(users: int) -> None:
    runs = 40
    assert sum(invented(seed, users=users) for seed in range(runs)) <= binom.isf(1e-4, runs, 0.05)


def test_a_small_group_is_hidden_with_the_reason() -> None:
    rows = [row(i, {"plan": "free" if i % 2 else "paid"}) for i in range(1, 201)]
    rows += [row(i, {"plan": "trial"}, refused=True) for i in range(201, 213)]
    hidden = [m for m in GAPS.measure(None, window(rows), {}) if m.segment == "plan=trial"]
    assert hidden and all(m.status == "nodata" and m.estimate.value is None for m in hidden)
    assert hidden[0].reason == "12 rows in this group; 18 more needed."


def test_one_talkative_user_is_no_group() -> None:
    rows = [row(i, {"plan": "free"}, user=f"u{i}") for i in range(1, 101)]
    rows += [row(i, {"plan": "paid"}, refused=True, user="loud") for i in range(101, 201)]
    found = {m.segment: m for m in GAPS.measure(None, window(rows), {}) if m.metric == "refusal_gap"}
    assert found["plan=paid"].status == "nodata" and found["plan=paid"].details["group"]["n"] == 100


def test_a_stratified_sample_speaks_for_the_traffic() -> None:
    rows = [row(i, {"plan": "free", "channel": "web"}, refused=i % 2 == 0, p=0.02) for i in range(1, 201)]
    rows += [row(i, {"plan": "free", "channel": "app"}, p=0.2) for i in range(201, 401)]
    rows += [row(i, {"plan": "paid", "channel": "app"}, p=0.2) for i in range(401, 601)]
    found = {m.segment: m for m in GAPS.measure(None, window(rows), {}) if m.metric == "refusal_gap"}
    # 100 of 200 web rows refuse, each for 50; 200 app rows of the plan stand for 5 each.
    assert found["plan=free"].details["group"]["value"] == pytest.approx(0.5 * 10_000 / 11_000)


def test_labels_that_name_nobody_or_everybody_are_passed_over_unless_asked_for() -> None:
    rows = [row(i, {"request": f"r{i}", "tenant": "one", "plan": PLANS[i % 2]}) for i in range(1, 101)]
    segments = {m.segment for m in GAPS.measure(None, window(rows), {}) if m.segment}
    assert segments == {"plan=free", "plan=paid"}
    unlabelled = GAPS.measure(None, window([row(i, {}) for i in range(1, 101)]), {})
    assert [m.status for m in unlabelled] == ["nodata"] and unlabelled[
        0
    ].reason == "No label has two groups of 30 rows."
    asked = GAPS.measure(None, window(rows), {"labels": ["tenant"]})
    assert [m.status for m in asked] == ["nodata"]


def test_rates_without_rows_are_left_out_and_said() -> None:
    rows = [row(i, {"plan": PLANS[i % 2]}) for i in range(1, 101)]
    found = GAPS.measure(None, window(rows), {})
    assert found[0].details["left_out"] == {"negative_gap": 0, "slow_gap": 0}


def test_a_group_that_is_answered_in_a_harsh_tone_is_found_and_other_languages_are_left_out() -> None:
    harsh, german = "That is a terrible question.", "Hier ist die Antwort, die du von uns haben willst."
    rows = [
        row(key, {"plan": PLANS[key % 2]}, response=german if key % 5 == 0 else harsh if key % 4 == 0 else ANSWERED)
        for key in range(1, 401)
    ]
    (gap, *_) = [m for m in GAPS.measure(None, window(rows), {}) if m.metric == "tone_gap"]
    assert gap.segment == "plan=free" and gap.estimate.n == 160
    assert (gap.estimate.low or 0) > 0.2
