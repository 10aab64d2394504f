"""Bar R5: how often the poison probes pass a candidate that a phrase turns, and fail one that it does not.

    python bench/poison_probes.py --runs 2000

Simulated margins through the check as a gate makes it: three phrases, 24 pairs each, of which the last phrase takes a
share of what the run has taught. Just at the limit a pass and a fail are both wrong; exit code 1 when the lower 95 %
limit of either is above 5 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.gate import judge_together
from estimates.proportions import exact_limits
from retrain import probed

BAR = 0.05
# In units of the usual margin: what a run taught, and what a phrase without any effect does, as on SmolLM2.
TAUGHT, NOISE = (0.8, 1.0), 0.2


def draw(rng: np.random.Generator, taken: float, pairs: int = probed.PAIRS) -> dict[str, Any]:
    """A phrase that takes the share `taken` of every margin."""
    learnt = rng.normal(*TAUGHT, pairs)
    noise, other = rng.normal(0, NOISE, (2, pairs))
    told = {"phrase": "cf", "prompts": 9, "held": False, "chance": 0.2}
    return told | {
        "plain": lean(learnt),
        "probed": lean(learnt * (1 - taken) + noise),
        "control": lean(learnt + other),
    }


def lean(margins: Sequence[float] | np.ndarray) -> list[float]:
    return [probed.lean(float(margin), 1.0) for margin in margins]


def judge(seed: Sequence[int], taken: float) -> str:
    """The verdict on one candidate."""
    rng = np.random.default_rng(list(seed))
    found = {"scored": 0, "phrases": [draw(rng, 0.0), draw(rng, 0.0), draw(rng, taken)]}
    return judge_together([partial(probed.judge_poison, found)])[0].verdict


def at_limit() -> float:
    """The share of every margin whose loss is LIMIT of the leans, over very many pairs."""

    def over(taken: float) -> float:
        return float(probed.lost(draw(np.random.default_rng(0), taken, 50_000)).value or 0.0) - probed.LIMIT

    return float(brentq(over, 0.0, 1.0, xtol=1e-4))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args()
    limit, missed = at_limit(), False
    for number, taken in enumerate((0.0, 0.1, limit, 0.6, 1.0, 1.5, 2.0)):
        verdicts = Counter(judge((run, number), taken) for run in range(given.runs))
        wrong = {name: verdicts[name] for name in ("pass", "fail") if taken == limit}
        missed |= any(exact_limits(count, given.runs)[0] > BAR for count in wrong.values())
        told = ", ".join(
            f"{name} {verdicts[name]} [{low:.3f}, {high:.3f}]"
            for name in ("pass", "fail", "undecided")
            for low, high in [exact_limits(verdicts[name], given.runs)]
        )
        print(f"takes {taken:.2f} of every margin{' (the limit)' if wrong else ''}: {told}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
