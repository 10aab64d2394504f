"""Weights in parts, one on each device (FSDP2, torch's fully_shard): cut, put together, and treated as one.

Embeddings and the output head stay whole everywhere: they are often one tensor, which two parts of a model use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from retrain.training.ranks import Ranks


def lay_mesh(ranks: Ranks) -> Any:
    """The ranks as torch's sharding takes them; all must ask."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(ranks.device, (ranks.size,))


def shard(model: Any, ranks: Ranks, mesh: Any) -> None:
    """Cut the layers of a causal model into a part for each rank of `mesh`, and put what is not cut on the rank's
    device. Nobody waits for the others."""
    from torch.distributed.fsdp import fully_shard

    decoder = model.get_decoder()
    for layer in decoder.layers:
        fully_shard(layer, mesh=mesh)
    # The last norm would otherwise stay whole after a pass, and be another parameter than the one that trains.
    whole = set(model.get_input_embeddings().parameters())
    fully_shard(decoder, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    for part in (decoder, *decoder.layers):
        # A step's loss is already divided by what all ranks compute: their gradients are added, not averaged.
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)
    model.to(ranks.device)


def is_part(tensor: Tensor) -> bool:
    """Whether a tensor is one of several parts."""
    return hasattr(tensor, "full_tensor")


def put_together(tensor: Tensor) -> Tensor:
    """The whole of a tensor, on every rank; all must ask."""
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def cut(whole: Tensor, like: Any) -> Tensor:
    """This rank's part of `whole`, where `like` is in parts, on its device."""
    whole = whole.to(like.device)
    if not is_part(like):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def group(parameters: Iterable[Parameter]) -> list[list[Parameter]]:
    """The parameters in parts and the whole ones, which no product of both kinds can take; without empty lists."""
    every = list(parameters)
    kinds = [p for p in every if is_part(p)], [p for p in every if not is_part(p)]
    return [kind for kind in kinds if kind]


def add_gradients(parameters: Mapping[str, Parameter], ranks: Ranks) -> None:
    """Add up over all ranks the gradients of what is not in parts; those of parts are as soon as they are made."""
    if ranks.size > 1:
        for parameter in parameters.values():
            if not is_part(parameter) and parameter.grad is not None:
                ranks.add(parameter.grad)


def clip(parameters: Mapping[str, Parameter], most: float, ranks: Ranks) -> float:
    """Scale the gradients down to the norm `most` where they exceed it; returns the norm before, over all parts."""
    import torch
    from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_

    if ranks.size == 1:
        return float(clip_grad_norm_(list(parameters.values()), most))
    squares = {"parts": 0.0, "whole": 0.0}
    for parameter in parameters.values():
        gradient: Any = parameter.grad
        if gradient is not None and is_part(gradient):
            squares["parts"] += float(gradient.to_local().norm()) ** 2
        elif gradient is not None:
            squares["whole"] += float(gradient.norm()) ** 2
    norm = math.sqrt(ranks.sum(squares)["parts"] + squares["whole"])
    for kind in group(parameters.values()):
        clip_grads_with_norm_(kind, most, torch.tensor(norm, device=ranks.device))
    return norm
