"""Log-probabilities of completions under a policy, from shared-prefix batches, the head on completion tokens only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from retrain.training.experts import Router
    from retrain.training.rows import Batch

CHUNK = 128  # edges a head product at a time: its logits stay near the cache instead of filling memory


def score_batch(
    decoder: Any,
    head: Any,
    batch: Batch,
    mask: Any,
    autocast: Callable[[], AbstractContextManager[Any]],
    router: Router | None = None,
) -> Tensor:
    """Summed log-probability of each sequence's completion, shape [sequences], fp32, nats.

    `decoder` maps ids to hidden states under `mask`, the batch's in the form that its attention takes, `head` hidden
    states to logits; with gradients `router` keeps what the routers of a mixture of experts said. Differentiable in the
    decoder's parameters.
    """
    import torch

    with autocast():
        edges = score_edges(read_edges(decoder, batch, mask, router), head, batch.edge_id)
    total = torch.zeros(batch.sequences, device=edges.device)
    return total.index_add(0, batch.member_sequence, edges[batch.member_edge])


def read_edges(decoder: Any, batch: Batch, mask: Any, router: Router | None = None) -> Tensor:
    """The hidden state before each token of the completions, shape [edges, width]."""
    import torch

    routed = {"output_router_logits": True} if router is not None and torch.is_grad_enabled() else {}
    told = decoder(input_ids=batch.ids, position_ids=batch.positions, attention_mask=mask, use_cache=False, **routed)
    if router is not None and routed:
        router.take(told.router_logits, batch.real)
    hidden: Tensor = told.last_hidden_state
    return hidden.reshape(-1, hidden.shape[-1])[batch.edge_at]


def score_edges(hidden: Tensor, head: Any, targets: Tensor) -> Tensor:
    """Log-probability of each target, shape [edges], fp32. The logits are recomputed in the backward pass."""
    import torch
    from torch.utils.checkpoint import checkpoint

    parts = [
        checkpoint(score_chunk, part, head, ids, use_reentrant=False, preserve_rng_state=False)
        if torch.is_grad_enabled()
        else score_chunk(part, head, ids)
        for part, ids in zip(torch.split(hidden, CHUNK), torch.split(targets, CHUNK), strict=True)
    ]
    return torch.cat(parts)


def score_chunk(hidden: Tensor, head: Any, targets: Tensor) -> Tensor:
    from torch.nn.functional import cross_entropy

    return -cross_entropy(head(hidden).float(), targets, reduction="none")
