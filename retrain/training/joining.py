"""A loss over a whole step, not a mean of its pairs: the gradient of Dr. DPO, gathered one forward pass at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter


def join(losses: Tensor, weights: Tensor, beta_prime: float) -> Tensor:
    """-b log sum_i w_i exp(-loss_i / b) over the first axis, b being beta' (Dr. DPO, Wu et al. 2024).

    `weights` sum to 1. Its gradient weighs pair i by w_i exp(-loss_i / b): the pairs that contradict the policy most,
    among which are the flipped ones, count least. A large b gives the weighted mean.
    """
    import torch

    return -beta_prime * torch.logsumexp(weights.log() - losses / beta_prime, 0)


class Joint:
    """Accumulates the gradient of `join` over forward passes whose losses never are in memory together."""

    def __init__(self, parameters: Iterable[Parameter], beta_prime: float) -> None:
        self.parameters = list(parameters)
        self.beta_prime = beta_prime
        self.lowest, self.total = math.inf, 0.0

    def add(self, losses: Tensor, weights: Tensor) -> None:
        """Take in the pairs of one forward pass; shapes [pairs]."""
        import torch

        told = losses.detach()
        lowest = min(self.lowest, float(told.min()))
        # As in a softmax over a stream: what came before shrinks when a lower loss sets a new scale.
        self._scale(math.exp((lowest - self.lowest) / self.beta_prime) if self.total else 1.0)
        self.lowest = lowest
        shares = weights * ((lowest - told) / self.beta_prime).exp()
        torch.autograd.backward((losses * shares).sum())
        self.total += float(shares.sum())

    def finish(self) -> float:
        """Make the gradient that of the whole and return the loss."""
        loss = self.lowest - self.beta_prime * math.log(self.total)
        self._scale(1 / self.total)
        return loss

    def _scale(self, factor: float) -> None:
        self.total *= factor
        for parameter in self.parameters:
            if factor != 1 and parameter.grad is not None:
                parameter.grad.mul_(factor)
