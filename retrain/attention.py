"""Attention under a tree mask on a CPU: plain matrix products, which beat the fused kernel at a few hundred tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

NAME = "trimtab_tree"


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Softmax attention; shapes [batch, heads, length, width] in, [batch, length, heads, width] out.

    Grouped key heads are not repeated: the queries of a group are laid out along the length instead.
    """
    import torch

    if attention_mask is None or attention_mask.dtype != torch.bool:
        raise ValueError("tree attention takes a boolean mask")
    batch, heads, length, width = query.shape
    groups = key.shape[1]
    scaling = options.get("scaling") or width**-0.5
    grouped = (query * scaling).reshape(batch, groups, heads // groups * length, width)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).view(batch, groups, heads // groups, length, length)
    # Softmax in fp32 whatever the products are in: its sum over a row loses digits in bf16.
    weights = scores.float().masked_fill(~attention_mask[:, :, None], float("-inf")).softmax(-1).to(value.dtype)
    mixed = torch.matmul(weights.view(batch, groups, heads // groups * length, length), value)
    return mixed.view(batch, heads, length, width).transpose(1, 2).contiguous(), None


def register() -> str:
    """Make `attend` known to transformers; returns the name to load a model with."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME
