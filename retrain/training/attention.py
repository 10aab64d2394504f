"""Attention under a tree mask on a CPU: plain matrix products, which beat the fused kernel at a few hundred tokens."""

from __future__ import annotations

from functools import cache
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
    dtype = value.dtype
    grouped = query.to(dtype).reshape(batch, groups, heads // groups * length, width)
    mixed = build_mixing().apply(grouped, key.to(dtype), value, attention_mask, scaling)
    return mixed.view(batch, heads, length, width).transpose(1, 2).contiguous(), None


@cache
def build_mixing() -> Any:
    """The autograd function softmax(scale q k' where mask) v, which keeps the weights in the precision of v alone."""
    import torch

    class Mixing(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
            batch, groups, _, length = *q.shape[:2], q.shape[2], k.shape[2]
            with torch.autocast(q.device.type, enabled=False):
                # Softmax in fp32 whatever the products are in: its sum over a row loses digits in bf16.
                scores = torch.matmul(q, k.transpose(-1, -2)).float().mul_(scale)
                split = scores.view(batch, groups, -1, length, length)
                split.masked_fill_(~mask[:, :, None], float("-inf"))
                weights = scores.softmax(-1).to(v.dtype)
                mixed = torch.matmul(weights, v)
            ctx.save_for_backward(q, k, v, weights)
            ctx.scale = scale
            return mixed

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            q, k, v, weights = ctx.saved_tensors
            g = gradients[0].to(v.dtype)
            dv = torch.matmul(weights.transpose(-1, -2), g)
            dw = torch.matmul(g, v.transpose(-1, -2)).float()
            # Masked entries have weight 0, so their gradient is 0 without a mask.
            dw.sub_((dw * weights).sum(-1, keepdim=True)).mul_(weights).mul_(ctx.scale)
            ds = dw.to(v.dtype)
            return torch.matmul(ds, k), torch.matmul(ds.transpose(-1, -2), q), dv, None, None

    return Mixing


def register() -> str:
    """Make `attend` known to transformers; returns the name to load a model with."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME
