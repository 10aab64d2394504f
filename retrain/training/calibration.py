"""Whether a version's preference margins mean what they say: stated probabilities against what people chose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scipy.special import expit

from estimates.calibration import brier_score, calibration_error, reliability
from estimates.means import paired_difference
from retrain.training.scoring import Scores, reward_margins


def calibrate(scores: Scores, candidate: str, champion: str, *, beta: float) -> dict[str, Any]:
    """Calibration error, Brier score and reliability of both versions, and the Brier difference candidate - champion.

    A pair's stated probability is sigmoid(beta * margin), the Bradley-Terry reading of the DPO reward (Rafailov et
    al. 2023), with the margin in nats against the fixed base. Pairs of one prompt count as one draw.
    """
    stated = {name: expit([beta * margin for margin in reward_margins(scores, name)]) for name in (candidate, champion)}
    losses = {name: ((1 - p) ** 2).tolist() for name, p in stated.items()}
    return {
        "beta": beta,
        "versions": {name: describe(p.tolist(), scores.prompts) for name, p in stated.items()},
        "brier_difference": paired_difference(losses[candidate], losses[champion], clusters=scores.prompts),
    }


def describe(stated: Sequence[float], prompts: Sequence[str]) -> dict[str, Any]:
    """Both scores with their intervals, and the bins of a reliability diagram."""
    return {
        "error": calibration_error(stated, clusters=list(prompts)),
        "brier": brier_score(stated, clusters=list(prompts)),
        "reliability": reliability(stated, clusters=list(prompts)),
    }
