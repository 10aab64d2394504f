"""How likely each pair's label is right, by expectation-maximisation from the policy's own margins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from retrain.training.checkpoint import write_whole

if TYPE_CHECKING:
    from torch import Tensor

NAME = "reliability.jsonl"


@dataclass(frozen=True, slots=True)
class Reliability:
    """`right` is the posterior probability that each label is right, shape [pairs]; `noise_rate` the share flipped."""

    right: Tensor
    noise_rate: float


def estimate(margins: Tensor, noise_rate: float, weights: Tensor) -> Reliability:
    """One step of EM from the scaled `margins` beta (chosen - rejected), shape [pairs], under flips at `noise_rate`.

    A label is right with probability 1 - noise_rate; the Bradley-Terry model gives a right one sigmoid(margin), a
    flipped one sigmoid(-margin). The E step is Bayes' rule for each pair, the M step the mean over pairs by `weights`
    (RE-PO, Cao et al. 2026, with one noise rate for all). The gradient steps until the next estimate are the rest of
    the M step; they weigh a pair by its probability of being right and, unlike RE-PO, never train on the flipped pair.
    """
    import torch

    kept = (1 - noise_rate) * torch.sigmoid(margins)
    right = kept / (kept + noise_rate * torch.sigmoid(-margins))
    return Reliability(right, float(1 - (right * weights).sum() / weights.sum()))


def describe(found: Reliability) -> dict[str, float]:
    """What progress says of an estimate: the noise rate, the mean and lowest weight, the share below one half."""
    right: Sequence[float] = found.right.tolist()
    return {
        "noise_rate": found.noise_rate,
        "weight_mean": sum(right) / len(right),
        "weight_low": min(right),
        "doubted": sum(value < 0.5 for value in right) / len(right),
    }


def write(folder: Path, ids: Sequence[str], found: Reliability) -> None:
    """Keep the last estimate in the run's folder, a line a pair, the most doubted first; the file appears whole."""
    rows = sorted(zip(found.right.tolist(), ids, strict=True))
    text = "".join(json.dumps({"id": id, "right": round(right, 6)}) + "\n" for right, id in rows)
    write_whole(folder / NAME, text)
