"""The routers of a mixture of experts in training: how evenly they spread tokens, as a loss and as a figure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def balance_loss(layers: Sequence[Tensor], top_k: int) -> Tensor:
    """experts * sum_e f_e P_e, a scalar, top_k where tokens are spread evenly (Switch, Fedus et al. 2021, eq. 4 to 6).

    `layers` are router logits by layer, [tokens, experts]; f_e is the share of tokens that go to expert e (a token goes
    to `top_k`), P_e the mean probability given to it, both over all layers, as transformers takes them.
    """
    import torch

    logits = torch.cat([layer.to(torch.promote_types(layer.dtype, torch.float32)) for layer in layers])
    probabilities = logits.softmax(-1)
    chosen = torch.zeros_like(probabilities).scatter_(1, logits.topk(top_k, -1).indices, 1.0)
    return logits.shape[1] * (chosen.mean(0) * probabilities.mean(0)).sum()


def count_load(layers: Sequence[Tensor], top_k: int) -> Tensor:
    """How many tokens each expert took by layer, [layers, experts]."""
    import torch

    return torch.stack([layer.topk(top_k, -1).indices.flatten().bincount(minlength=layer.shape[1]) for layer in layers])


def describe_load(counts: Tensor) -> dict[str, list[float]]:
    """The share of tokens by expert over all layers, and each layer's entropy: 1 for even use, 0 for one expert."""
    shares = counts.double() / counts.sum(-1, keepdim=True)
    whole = counts.shape[1]
    entropy = [
        -sum(share * math.log(share) for share in layer if share) / math.log(whole) if whole > 1 else 1.0
        for layer in shares.tolist()
    ]
    total = (counts.sum(0) / counts.sum()).tolist()
    return {
        "expert_load": [round(share, 4) for share in total],
        "router_entropy": [round(value, 4) for value in entropy],
    }


_FEED_FORWARD = re.compile(r"mlp|moe|expert|feed_forward")


class Router:
    """What the routers said in the last forward pass with gradients, and the load since it was last told."""

    def __init__(self, top_k: int) -> None:
        self.top_k = top_k
        self.layers: list[Tensor] = []
        self.counts: Tensor | None = None

    def take(self, logits: Sequence[Tensor], real: Tensor) -> None:
        """Keep a pass's router logits by layer, [rows * length, experts], without those of padding."""
        kept = real.flatten().to(logits[0].device)
        self.layers = [layer.reshape(-1, layer.shape[-1])[kept] for layer in logits]
        counts = count_load([layer.detach() for layer in self.layers], self.top_k)
        self.counts = counts if self.counts is None else self.counts + counts

    def balance(self) -> Tensor:
        """The balance loss of the last pass."""
        return balance_loss(self.layers, self.top_k)

    def tell(self) -> dict[str, list[float]]:
        """The load since this was last asked; nothing when no pass was made."""
        counts, self.counts, self.layers = self.counts, None, []
        return describe_load(counts) if counts is not None else {}


def list_targets(model: Any) -> list[str]:
    """The names of the linear layers of a mixture of experts that an adapter can sit on: those of its attention.

    Experts are one tensor of three axes, routers no linear layers; what peft would put there instead cannot be served.
    """
    import torch

    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and not _FEED_FORWARD.search(name)
    }
    return sorted(linear)


def find_router(config: Any) -> Router | None:
    """A Router for a model of `config` that is a mixture of experts and gives its router logits; None for others."""
    top_k = getattr(config, "num_experts_per_tok", None)
    return Router(int(top_k)) if top_k and hasattr(config, "output_router_logits") else None
