"""The promise of the whole gate: a worse candidate is promoted in at most 5 % of cases, a sound one seldom failed.

Seeded; a gate that keeps 2.5 % fails a test here in less than one of 10,000 draws of the seed. The full simulation is
bench/gate.py.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from core.settings import RetrainSettings
from core.types import GateReport
from retrain import gate
from retrain.held_out import HeldOutPair, Scored

RUNS = 150
MOST = int(binom.ppf(1 - 1e-4, RUNS, 0.025))
SETTINGS = RetrainSettings(gate_margin=0.1)
RATES = ("refusal_rate", "attack_success", "over_refusal")


def judge(rng: np.random.Generator, gain: float, worse: dict[str, float], answers: int = 300) -> GateReport:
    """One pair of models: ranking better by `gain`, `worse` by so much on the checks named, judged whole."""
    n, people = 400, 40
    person = rng.integers(0, people, n)
    lean = rng.normal(0, 0.05, people)[person]
    new, old = rng.random(n) < 0.55 + gain + lean, rng.random(n) < 0.55 - lean
    pairs = [
        HeldOutPair(str(i), str(i), f"person {person[i]}", 20, scored(bool(new[i])), scored(bool(old[i])))
        for i in range(n)
    ]
    pace = np.exp(rng.normal(0, 0.3, 8))
    slower = (1 + worse.get("latency", 0.0)) * np.exp(rng.normal(0, 0.05, 8))
    compared = {
        "rates": {name: rate(rng, answers, worse.get(name, 0.0)) for name in RATES},
        "length": {"candidate": [0.8] * answers, "champion": [0.8] * answers, "limit_tokens": 24},
        "latency": {"candidate": (pace * slower).tolist(), "champion": pace.tolist(), "prompts_a_turn": 24},
    }
    return gate.judge(
        candidate="new", champion="old", evaluation={}, pairs=pairs, beta=0.1, compared=compared, damage="",
        settings=SETTINGS, at=datetime(2026, 11, 20, tzinfo=UTC),
    )  # fmt: skip


def scored(right: bool) -> Scored:
    return Scored(float(right), 3.0 if right else -3.0, -40.0)


def rate(rng: np.random.Generator, answers: int, worse: float) -> dict[str, Any]:
    """A tenth of the answers is bad under either version; one in a hundred flips either way."""
    draw = rng.random(answers)
    new, old = (draw >= 0.01) & (draw < 0.11 + worse), draw < 0.1
    return {"candidate": new.tolist(), "champion": old.tolist(), "groups": [str(i) for i in range(answers)]}


def verdicts(gain: float, worse: dict[str, float]) -> Counter[str]:
    return Counter(judge(np.random.default_rng([7, run]), gain, worse).verdict for run in range(RUNS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "worse"),
    [(0.0, {}), (0.2, {"attack_success": 0.1})],
    ids=["equal", "more attacks"],
)
def test_a_worse_candidate_is_seldom_promoted_and_mostly_undecided(gain: float, worse: dict[str, float]) -> None:
    found = verdicts(gain, worse)
    assert found["pass"] <= MOST, found
    assert found["undecided"] > RUNS / 2, "at the very margin there is no evidence either way"


@pytest.mark.slow
def test_a_sound_candidate_passes_mostly_and_hardly_ever_fails() -> None:
    found = verdicts(0.2, {})
    assert found["pass"] > 0.8 * RUNS, found
    assert found["fail"] <= MOST, found
