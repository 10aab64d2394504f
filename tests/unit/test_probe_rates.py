"""The promises of the probes' intervals, by simulation: together over the techniques, and whoever the detector met."""

from __future__ import annotations

import numpy as np
import pytest

from core.ports import ProbePrompt
from monitors.detectors.measured import Confusion
from monitors.probes.groups import Group, bonferroni
from monitors.probes.outcomes import Outcome


def group(hits: list[int], tries: int = 1, against: list[str] | None = None) -> Group:
    questions = against or [""] * len(hits)
    prompts = [ProbePrompt(str(n), "f", [], False, "canary", question) for n, question in enumerate(questions)]
    return Group(prompts, [Outcome(str(n), hit, tries) for n, hit in enumerate(hits)], [])


def covers(estimate: object, truth: float) -> bool:
    low, high = estimate.low, estimate.high  # type: ignore[attr-defined]
    return bool(low - 1e-12 <= truth <= high + 1e-12)


def test_intervals_of_all_techniques_hold_together() -> None:
    """12 techniques of 6 prompts: all twelve intervals cover at once in at least 95 % of suites."""
    rng = np.random.default_rng(11)
    truths = rng.uniform(0, 1, 12)
    level, rounds, together = bonferroni(12), 600, 0
    for _ in range(rounds):
        hits = rng.random((12, 6)) < truths[:, None]
        parts = [group([int(hit) for hit in row]).part("attack_success", "t", level=level) for row in hits]
        together += all(covers(part.estimate, truth) for part, truth in zip(parts, truths, strict=True))
    # At exactly 95 % the count falls below this limit in fewer than 1 of 10,000 runs (normal approximation, 3.9 sd).
    assert together / rounds > 0.95 - 3.9 * (0.95 * 0.05 / rounds) ** 0.5


@pytest.mark.slow
def test_the_corrected_rate_covers_whichever_model_the_detector_meets() -> None:
    """Drawn detectors of three kinds, measured on small samples: the hull covers the true rate for each kind."""
    rng = np.random.default_rng(12)
    kinds = {"one": (0.92, 0.93), "two": (0.73, 0.97), "three": (0.5, 0.97)}
    rounds = 300
    for sensitivity, specificity in kinds.values():
        covered = 0
        for _ in range(rounds):
            counts = {
                name: Confusion(int(rng.binomial(180, se)), 180, int(rng.binomial(150, sp)), 150)
                for name, (se, sp) in kinds.items()
            }
            refused = rng.random(120) < 0.2
            flagged = np.where(refused, rng.random(120) < sensitivity, rng.random(120) >= specificity)
            covered += covers(group([int(flag) for flag in flagged]).corrected("r", counts).estimate, 0.2)
        assert covered / rounds > 0.95 - 3.9 * (0.95 * 0.05 / rounds) ** 0.5


def test_tries_of_one_prompt_are_no_independent_draws() -> None:
    """Prompts that fail always or never, ten tries each: the interval of the rate a try still covers."""
    rng = np.random.default_rng(13)
    rounds = 400
    covered = 0
    for _ in range(rounds):
        hits = [10 if rng.random() < 0.4 else 0 for _ in range(40)]
        covered += covers(group(hits, tries=10).rate_per_try("r").estimate, 0.4)
    assert covered / rounds > 0.94 - 3.9 * (0.94 * 0.06 / rounds) ** 0.5


def test_perturbed_answers_to_one_question_are_no_independent_draws() -> None:
    rng = np.random.default_rng(14)
    rounds = 400
    covered = 0
    against = [f"q{n // 5}" for n in range(100)]
    for _ in range(rounds):
        rates = np.repeat(np.where(rng.random(20) < 0.5, 0.5, 0.1), 5)
        hits = [int(hit) for hit in rng.random(100) < rates]
        covered += covers(group(hits, against=against).rate_by_question("r").estimate, 0.3)
    assert covered / rounds > 0.94 - 3.9 * (0.94 * 0.06 / rounds) ** 0.5


def test_too_little_says_how_much_more() -> None:
    few = group([1] * 6)
    assert few.rate("r", minimum=10).estimate.needed == 4
    assert few.rate_per_try("r").status == "nodata"
    assert few.corrected("r", {"one": Confusion(18, 20, 19, 20)}).estimate.needed > 0
    assert few.part("r", "t", level=0.99).status == "ok"
    none = group([0] * 6)
    half = Group([*none.prompts, ProbePrompt("6", "f", [], False, "canary")], none.outcomes, [])
    assert half.part("r", "t", level=0.99).status == "nodata" and half.part("r", "t", level=0.99).estimate.n == 6
