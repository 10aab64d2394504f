"""How much arithmetic training does and could do: floating-point operations of a pass, and the device's peak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrain.training.policy import Hardware
    from retrain.training.rows import Batch

_SIDE, _SIDE_GPU, _ROUNDS = 1024, 8192, 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations of the products with weights, `token` for each token and `edge` for each predicted one, by pass.

    A forward pass multiplies and adds once a weight; with gradients each weight's input takes as much again, and a
    weight that trains as much once more. Attention's own products, a few per cent at some hundred tokens, are left out.
    """

    token: float
    edge: float
    token_trained: float
    edge_trained: float

    def of(self, batch: Batch, *, trained: bool) -> float:
        """Operations of one pass over `batch`; what is recomputed to save memory counts once."""
        edges = batch.edge_id.numel()
        if trained:
            return self.token_trained * batch.tokens + self.edge_trained * edges
        return self.token * batch.tokens + self.edge * edges


def count_cost(model: Any) -> Cost:
    """The cost of a pass through `model`, its adapters included; of a mixture's experts those that a token uses."""
    head = model.get_output_embeddings().weight
    token = token_trained = 0.0
    for name, weight in model.named_parameters():
        if weight is head or weight.dim() < 2 or "embed" in name:
            continue
        used = getattr(model.config, "num_experts_per_tok", 1) / weight.shape[0] if weight.dim() == 3 else 1.0
        token += 2 * used * weight.numel()
        token_trained += (6 if weight.requires_grad else 4) * used * weight.numel()
    edge = 2.0 * head.numel()
    return Cost(token, edge, token_trained, 3 * edge if head.requires_grad else 2 * edge)


def measure_peak(hardware: Hardware, clock: Callable[[], float]) -> float | None:
    """Operations a second of a large matrix product here, in the run's precision, best of a few; None if the clock is
    too coarse to tell.

    Of a GPU this is what it reaches, some four fifths of what its maker states.
    """
    import torch

    side = _SIDE if hardware.device == "cpu" else _SIDE_GPU
    kind = torch.float32 if hardware.precision == "fp32" else torch.bfloat16
    # Products of numbers that are all alike take less power, and so less time, than any model's.
    source = torch.Generator(hardware.device).manual_seed(0)
    drawn = [torch.randn(side, side, generator=source, device=hardware.device).to(kind) for _ in range(2)]
    times: list[float] = []
    with torch.no_grad():
        for _ in range(_ROUNDS):
            _wait(hardware)
            began = clock()
            torch.matmul(*drawn)
            _wait(hardware)
            times.append(clock() - began)
    fastest = min(times[1:])
    return 2 * side**3 / fastest if fastest > 0 else None


def _wait(hardware: Hardware) -> None:
    """A GPU works on while the next thing is asked of it."""
    if hardware.device != "cpu":
        import torch

        torch.cuda.synchronize(hardware.device)
