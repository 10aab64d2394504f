"""What 1,000 answers of a version cost, with an interval that covers the truth, and how much more than the first's."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import pytest

from core.settings import CostSettings
from retrain.comparison import describe

BOTH, TOKENS = CostSettings(completion_million=4.0, server_hour=2.0), CostSettings(completion_million=4.0)
# (mean tokens, mean logarithm of seconds a token) of the first version and of the other.
MEANS = {"old": (40.0, -3.0), "new": (50.0, -3.2)}
DRAWS = 300


def measure(seed: int) -> dict[str, Any]:
    """Tokens of 72 prompts, two in a conversation, and the pace of eight turns, both higher where answers are long."""
    rng = np.random.default_rng(seed)
    hard, load = np.repeat(rng.gamma(4.0, 0.25, 36), 2), rng.normal(0, 0.2, 8)
    lean = 0.3 * (float(np.mean(hard)) - 1)
    groups = [n // 2 for n in range(72)]
    return {
        "rates": {},
        "length": {"old": [0.5] * 72, "new": [0.5] * 72, "groups": groups},
        "tokens": {name: list(mean * hard * rng.gamma(9.0, 1 / 9, 72)) for name, (mean, _) in MEANS.items()}
        | {"groups": groups},
        "latency": {
            name: list(np.exp(slow + load + lean + rng.normal(0, 0.1, 8))) for name, (_, slow) in MEANS.items()
        },
    }


def money(found: dict[str, Any], cost: CostSettings) -> dict[str, Any]:
    told: dict[str, Any] = describe(["old", "new"], found, cost)["versions"]["new"]
    return dict(told["cost_of_1000_answers"])


def price(name: str, cost: CostSettings) -> float:
    tokens, slow = MEANS[name]
    return tokens * (cost.completion_million / 1e3 + exp(slow) * cost.server_hour / 3.6)


@pytest.mark.slow
@pytest.mark.parametrize("cost", [BOTH, TOKENS], ids=["server", "tokens"])
def test_the_interval_covers_what_answers_cost_and_is_not_wide_for_nothing(cost: CostSettings) -> None:
    truth = {"value": price("new", cost), "difference": price("new", cost) - price("old", cost)}
    drawn = [money(measure(seed), cost) for seed in range(DRAWS)]
    for what, true in truth.items():
        covered = sum(one[what]["low"] <= true <= one[what]["high"] for one in drawn) / DRAWS
        # Of 300 draws an interval of 95 % covers fewer than 90 % once in some thousands of runs.
        assert covered > 0.9, (what, covered)
        widths = np.mean([one[what]["high"] - one[what]["low"] for one in drawn])
        own = 2 * 1.96 * np.std([one[what]["value"] for one in drawn])
        assert widths < 2 * own, (what, widths / own)


def test_without_a_price_there_is_no_cost_and_without_turns_the_server_s_is_not_known() -> None:
    found = measure(0)
    assert "cost_of_1000_answers" not in describe(["old", "new"], found, CostSettings())["versions"]["new"]
    assert "bonferroni 95%" in money(found, BOTH)["difference"]["method"]
    found["latency"] = {name: pace[:3] for name, pace in found["latency"].items()}
    few = money(found, BOTH)
    assert (few["value"]["value"], few["value"]["needed"], few["difference"]["value"]) == (None, 2, None)
    told = money(found, TOKENS)["value"]
    assert told["method"] == "clustered student 95%" and told["value"] == pytest.approx(
        4.0 * np.mean(found["tokens"]["new"]) / 1e3
    )
