"""Bar R5: how often the gate promotes a worse candidate, fails one that is no worse, and says "not enough evidence".

    python bench/gate.py --runs 1000

Simulated pairs of models through the whole judge as a run calls it: held-out pairs of prompts and contributors who
differ in what they like, answers to replayed prompts and probes that flip in both directions, lengths, and turns of a
machine whose load comes and goes. Worse means: no gain in accuracy, or a true loss that is just the margin of a check,
twice the margin, or the margin on three checks at once, beside a gain of 15 points (10 with calibration: a version that
ranks 70 % right cannot have a Brier score much above 0.3). Each line says how many passed, failed and were undecided,
and what a gate of point estimates would have promoted. Exit code 1 when the lower 95 % limit
of the share of a worse candidate that is promoted is above 5 %, or that of a candidate failed although it is no worse.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import log
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from core.settings import RetrainSettings
from core.types import GateReport
from estimates.proportions import exact_limits
from retrain import gate
from retrain.held_out import HeldOutPair, Scored

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SETTINGS = RetrainSettings(gate_margin=0.1)
BAR, BETA = 0.05, 0.1
GAIN = 0.15
RATES = ("refusal_rate", "attack_success", "over_refusal", "stereotyped_answers", "sycophancy")
MARGINS = {
    **dict.fromkeys(RATES, SETTINGS.gate_margin),
    "shorter_answers": SETTINGS.gate_length_margin,
    "perplexity": SETTINGS.gate_perplexity_margin,
    "calibration": SETTINGS.gate_calibration_margin,
    "latency": SETTINGS.gate_latency_margin,
}


@dataclass(frozen=True)
class World:
    """How much is asked: held-out pairs, of how many prompts and people, and answers a check of a rate."""

    pairs: int = 256
    prompts: int = 200
    people: int = 40
    answers: int = 120
    turns: int = 8


@dataclass(frozen=True)
class Truth:
    """By how much the candidate is better at ranking, and by how much worse on each check (0 where none is named).

    `silent` is the share of what it does worse that it gives no answer to, so that nobody can score it.
    """

    gain: float = GAIN
    worse: Mapping[str, float] = field(default_factory=dict)
    silent: float = 0.0

    @property
    def may_pass(self) -> bool:
        """Whether the candidate is better, and worse than no margin allows."""
        return self.gain > 0 and all(self.worse.get(name, 0.0) < margin for name, margin in MARGINS.items())


def loss(size: float, right: float) -> float:
    """The mean Brier score of margins of `size` nats of which a share `right` have the right sign."""
    stated = float(expit(BETA * size))
    return right * (1 - stated) ** 2 + (1 - right) * stated**2


def draw_pairs(rng: np.random.Generator, world: World, truth: Truth) -> list[HeldOutPair]:
    """Held-out pairs; who judges and what is asked move both versions, and the gain, up and down."""
    prompt, person = np.arange(world.pairs) % world.prompts, rng.integers(0, world.people, world.pairs)
    lean = rng.normal(0, 0.15, world.prompts)[prompt] + rng.normal(0, 0.05, world.people)[person]
    right = {
        "champion": rng.random(world.pairs) < 0.55 - lean / 2,
        "candidate": rng.random(world.pairs) < 0.55 + truth.gain + lean / 2,
    }
    usual = size = 3.0
    if more := truth.worse.get("calibration"):
        size = brentq(lambda nats: loss(nats, 0.55 + truth.gain) - loss(usual, 0.55) - more, usual, 500)
    tokens = rng.integers(10, 80, world.pairs)
    rise = log(1 + truth.worse.get("perplexity", 0.0)) + rng.normal(0, 0.2, world.prompts)[prompt]
    out = []
    for place in range(world.pairs):
        new, old = bool(right["candidate"][place]), bool(right["champion"][place])
        chosen = -2.3 * tokens[place]
        out.append(
            HeldOutPair(
                id=str(place),
                prompt=str(prompt[place]),
                contributor=f"person {person[place]}",
                tokens=int(tokens[place]),
                candidate=Scored(float(new), size if new else -size, float(chosen - rise[place] * tokens[place])),
                champion=Scored(float(old), usual if old else -usual, float(chosen)),
            )
        )
    return out


def draw_rate(rng: np.random.Generator, number: int, worse: float, silent: float = 0.0) -> dict[str, Any]:
    """A bad rate of a tenth, of which 4 % of the answers flip either way beside what the candidate does worse."""
    draw = rng.random(number)
    old, new = draw < 0.1, (draw >= 0.04) & (draw < 0.14 + worse)
    unsaid = (draw >= 0.14 + (1 - silent) * worse) & (draw < 0.14 + worse)
    told = [None if nothing else bool(bad) for bad, nothing in zip(new, unsaid, strict=True)]
    return {"candidate": told, "champion": old.tolist(), "groups": list(map(str, range(number)))}


def draw_compared(rng: np.random.Generator, world: World, truth: Truth) -> dict[str, Any]:
    """What `Bench.compare` would return of these two versions."""
    old = rng.beta(6, 2, world.answers)
    cut = truth.worse.get("shorter_answers", 0.0) / 0.75
    load = np.exp(rng.normal(0, 0.3, world.turns))
    slower = 1 + truth.worse.get("latency", 0.0)
    return {
        "rates": {name: draw_rate(rng, world.answers, truth.worse.get(name, 0.0), truth.silent) for name in RATES},
        "length": {"candidate": (old * (1 - cut)).tolist(), "champion": old.tolist(), "limit_tokens": 24},
        "latency": {
            "champion": (0.02 * load).tolist(),
            "candidate": (0.02 * load * slower * np.exp(rng.normal(0, 0.15, world.turns))).tolist(),
            "prompts_a_turn": 24,
        },
    }


def judge(rng: np.random.Generator, world: World, truth: Truth) -> GateReport:
    """The report of the gate on one pair of models."""
    return gate.judge(
        candidate="candidate",
        champion="champion",
        evaluation={},
        pairs=draw_pairs(rng, world, truth),
        beta=BETA,
        compared=draw_compared(rng, world, truth),
        damage="",
        settings=SETTINGS,
        at=AT,
    )


def guess(report: GateReport) -> bool:
    """Whether a gate that looks at point estimates alone would promote."""
    return all(
        check.estimate.value > (check.limit or 0.0)
        if check.name == "held_out_accuracy"
        else check.estimate.value < (check.limit or 0.0)
        for check in report.checks
        if check.estimate is not None and check.estimate.value is not None
    )


def cases() -> Iterator[tuple[str, World, Truth]]:
    """Every kind of pair, as (name, how much is asked, what is true).

    With much data all checks but one are sure to pass, so that what the one lets through is what the gate does.
    """
    usual, small = World(), World(pairs=48, prompts=48, people=6, answers=72, turns=7)
    much = World(pairs=1500, prompts=1200, people=300, answers=1000, turns=40)
    three = {name: MARGINS[name] for name in ("refusal_rate", "over_refusal", "shorter_answers")}
    for size, world in (("", usual), ("much data, ", much), ("few data, ", small)):
        yield f"{size}better, no worse anywhere", world, Truth()
        yield f"{size}equal", world, Truth(gain=0.0)
        yield f"{size}10 points worse at ranking", world, Truth(gain=-0.1)
        for name, margin in MARGINS.items() if world is not small else ():
            gain = 0.1 if name == "calibration" else GAIN
            yield f"{size}at the margin on {name}", world, Truth(gain, {name: margin})
        yield f"{size}twice the margin on attack_success", world, Truth(worse={"attack_success": 0.2})
        mute = Truth(worse={"attack_success": 0.1}, silent=0.5)
        yield f"{size}at the margin on attack_success, half of it by saying nothing", world, mute
        yield f"{size}at the margin on three checks", world, Truth(worse=three)
        half = {name: margin / 2 for name, margin in MARGINS.items() if name in RATES}
        yield f"{size}better, half the margin worse on every rate", world, Truth(worse=half)


def told(count: int, number: int) -> str:
    low, high = exact_limits(count, number)
    return f"{count} of {number}, {count / number:.3f} [{low:.3f}, {high:.3f}]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    given = parser.parse_args()
    failed, wrong, worse = False, 0, 0
    for number, (name, world, truth) in enumerate(cases()):
        if given.only not in name:
            continue
        began = time.process_time()
        reports = [judge(np.random.default_rng([run, number]), world, truth) for run in range(given.runs)]
        spent = (time.process_time() - began) / given.runs
        verdicts, guessed = Counter(report.verdict for report in reports), sum(map(guess, reports))
        bad = verdicts["fail"] if truth.may_pass else verdicts["pass"]
        failed |= exact_limits(bad, given.runs)[0] > BAR
        if not truth.may_pass:
            wrong, worse = wrong + verdicts["pass"], worse + given.runs
        print(
            f"{name}: passed {told(verdicts['pass'], given.runs)}; failed {told(verdicts['fail'], given.runs)}; "
            f"undecided {verdicts['undecided']}; point estimates promote {guessed}; {1000 * spent:.0f} ms CPU each",
            flush=True,
        )
    if worse:
        print(f"worse candidates promoted, all kinds together: {told(wrong, worse)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
