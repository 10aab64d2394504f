"""The forward and backward pass of a linear layer with a LoRA adapter, fused: less memory and fewer passes over it.

peft's layer keeps the input once more in the adapter's precision and the product once more before the sum. With a
frozen weight the gradient needs only the input in the weight's precision and the r-wide product.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def fuse(model: Any) -> int:
    """Make each plain LoRA layer of `model` run fused; returns how many. Others keep peft's own forward pass."""
    import torch
    from peft.tuners.lora import Linear

    product = build_product()
    fused = 0
    for layer in model.modules():
        # A subclass does something more, and so does a variant such as DoRA.
        if type(layer) is Linear and type(layer.get_base_layer()) is torch.nn.Linear and not layer.lora_variant:
            setattr(layer, "forward", Fused(layer, layer.forward, product))  # noqa: B010 - a method, to mypy
            fused += 1
    return fused


class Fused:
    """Replaces the forward pass of one peft layer."""

    def __init__(self, layer: Any, plain: Any, product: Any) -> None:
        self.layer = layer
        self.plain = plain
        self.product = product

    def __call__(self, x: Tensor, *rest: Any, **options: Any) -> Tensor:
        import torch

        layer = self.layer
        active = layer.active_adapters
        one = len(active) == 1 and active[0] in layer.lora_A
        if layer.disable_adapters or layer.merged or not one or rest or options:
            return self.plain(x, *rest, **options)  # type: ignore[no-any-return]
        name = active[0]
        if layer.training and not isinstance(layer.lora_dropout[name], torch.nn.Identity):
            return self.plain(x)  # type: ignore[no-any-return]
        base = layer.get_base_layer()
        down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
        result: Tensor = self.product.apply(x, base.weight, base.bias, down, up, layer.scaling[name])
        return result


@cache
def build_product() -> Any:
    """The autograd function x W' + bias + scale x A' B', with gradients for x, A and B. W and bias are frozen."""
    import torch

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float
        ) -> Tensor:
            with torch.autocast(x.device.type, enabled=False):
                flat = x.reshape(-1, x.shape[-1]).to(weight.dtype)
                a, b = down.to(weight.dtype), (up * scale).to(weight.dtype)
                inner = flat @ a.t()
                out = flat @ weight.t() if bias is None else torch.addmm(bias.to(weight.dtype), flat, weight.t())
                out.addmm_(inner, b.t())
            ctx.save_for_backward(flat, inner, weight, a, b)
            ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, x.dtype
            return out.view(*x.shape[:-1], out.shape[-1])

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Any:
            flat, inner, weight, a, b = ctx.saved_tensors
            g = gradients[0].reshape(-1, weight.shape[0]).to(weight.dtype)
            into = g @ b
            down = into.t() @ flat
            up = (g.t() @ inner).float() * ctx.scale
            x = None
            if ctx.needs_input_grad[0]:
                x = torch.addmm(g @ weight, into, a).view(ctx.shape).to(ctx.dtype)
            return x, None, None, down.float(), up, None

    return Product
