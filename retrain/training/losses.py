"""Preference losses as pure functions of log-ratios: policy log-probability minus reference log-probability."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor", float, float], "Tensor"]


def dpo(chosen: Tensor, rejected: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """-log sigmoid(beta * margin), a value a pair, shape [pairs], nats (Rafailov et al. 2023, eq. 7).

    `chosen` and `rejected` are summed log-ratios, shape [pairs]. `smoothing` must be 0: see `cdpo` and `rdpo`.
    """
    from torch.nn.functional import logsigmoid

    if smoothing:
        raise ValueError("dpo takes no label smoothing: use cdpo or rdpo")
    return -logsigmoid(beta * (chosen - rejected))


def cdpo(chosen: Tensor, rejected: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against labels flipped with probability `smoothing` in [0, 0.5) (Mitchell 2023, eq. 3)."""
    from torch.nn.functional import logsigmoid

    logits = beta * (chosen - rejected)
    return -(1 - smoothing) * logsigmoid(logits) - smoothing * logsigmoid(-logits)


def rdpo(chosen: Tensor, rejected: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """Unbiased estimate of the clean DPO loss under flips at rate `smoothing` (Chowdhury et al. 2024, eq. 12)."""
    from torch.nn.functional import logsigmoid

    logits = beta * (chosen - rejected)
    kept, flipped = -logsigmoid(logits), -logsigmoid(-logits)
    return ((1 - smoothing) * kept - smoothing * flipped) / (1 - 2 * smoothing)


def ipo(chosen: Tensor, rejected: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """(margin - 1 / (2 beta))^2 (Azar et al. 2023, eq. 17). Takes log-ratios per token, as its authors advise."""
    if smoothing:
        raise ValueError("ipo takes no label smoothing")
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def hinge(chosen: Tensor, rejected: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """max(0, 1 - beta * margin) (SLiC, Zhao et al. 2023, with the reference of Liu et al. 2023)."""
    from torch import relu

    if smoothing:
        raise ValueError("hinge takes no label smoothing")
    return relu(1 - beta * (chosen - rejected))


LOSSES: dict[str, Loss] = {"dpo": dpo, "cdpo": cdpo, "rdpo": rdpo, "ipo": ipo, "hinge": hinge, "drdpo": dpo}
SMOOTHED = frozenset({"cdpo", "rdpo"})
PER_TOKEN = frozenset({"ipo"})
# Joined over a step by retrain.training.joining rather than averaged.
JOINED = frozenset({"drdpo"})
# Those whose margin states a probability and that do not reckon with flipped labels themselves.
BRADLEY_TERRY = frozenset({"dpo", "drdpo"})
