"""Attention under a tree mask: on a CPU plain matrix products, which beat the fused kernel at a few hundred tokens, and
on a GPU FlexAttention, compiled, which skips the blocks of the mask that nobody attends to."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

TREE, FLEX = "trimtab_tree", "trimtab_flex"
# The side of a block of FlexAttention's mask, in tokens.
BLOCK = 128


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Softmax attention; shapes [batch, heads, length, width] in, [batch, length, heads, width] out.

    Grouped key heads are not repeated: the queries of a group are laid out along the length instead.
    """
    import torch

    if attention_mask is None or attention_mask.dtype != torch.bool:
        raise ValueError("tree attention takes a boolean mask")
    for name in ("softcap", "s_aux"):
        if options.get(name) is not None:
            raise InvalidInput(f"Tree attention on a CPU knows no {name}, which this model uses.", "Train on a GPU.")
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


def attend_blocks(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """transformers' FlexAttention under a BlockMask, shapes as of `attend`.

    Positions turn queries and keys in fp32 also where values are bf16, and the kernel wants one number format. Dropout
    on attention weights, which it does not have, is left out here as in `attend`.
    """
    from transformers.integrations.flex_attention import flex_attention_forward

    dtype = value.dtype
    told = {name: option for name, option in options.items() if name != "dropout"}
    mixed: tuple[Tensor, Tensor | None] = flex_attention_forward(
        module, query.to(dtype), key.to(dtype), value, attention_mask, **told
    )
    return mixed


def build_blocks(end: Tensor) -> Any:
    """The BlockMask of rows whose tokens end at `end` (rows.Batch), [rows, length]: true as `Batch.mask` is."""
    from torch.nn.attention.flex_attention import create_block_mask

    def attends(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < end[row, key])

    rows, length = end.shape
    return create_block_mask(attends, rows, None, length, length, device=end.device, BLOCK_SIZE=BLOCK)


def register(device: str) -> str:
    """Make both known to transformers; returns the name to load a model on `device` with."""
    from transformers import AttentionInterface

    AttentionInterface.register(TREE, attend)
    AttentionInterface.register(FLEX, attend_blocks)
    return TREE if device == "cpu" else FLEX
