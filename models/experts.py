"""Which experts a mixture of experts sent the tokens of its answers to, by version."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.ports import ExpertLoad

if TYPE_CHECKING:
    import torch

# The newest answers of a version that are told about: enough for narrow intervals, and soon another picture.
WINDOW = 256


class Experts:
    """Listens to a model's routers and keeps each finished answer's load. Not thread-safe: the decoder owns it.

    The tokens that count are those that were computed for an answer: its own, and those of its prompt but for a start
    that was kept from an earlier one (models.starts).
    """

    def __init__(self, routers: "Sequence[torch.nn.Module]") -> None:
        self.layers, self.chosen, self.usual = len(routers), 0, True
        self.heard: list[tuple[torch.Tensor, int]] | None = None
        self.kept: dict[str, deque[torch.Tensor]] = {}
        for router in routers:
            router.register_forward_hook(self._hear)

    def listen(self) -> None:
        """From now on what the routers choose is for `count`."""
        self.heard = []

    def count(self, mask: "torch.Tensor") -> "torch.Tensor | None":
        """How many tokens of each row the last pass sent where, [rows, layers, experts].

        `mask` is (rows, columns) of the pass, 0 where a row is padded. None where the routers do not tell in the usual
        way what they chose.
        """
        import torch

        heard, self.heard = self.heard or [], None
        rows, columns = mask.shape
        kinds = {(chosen.shape[-1], width) for chosen, width in heard}
        if len(heard) != self.layers or len(kinds) != 1:
            self.usual = False
            return None
        ((self.chosen, width),) = kinds
        places = torch.stack([chosen.reshape(rows, columns * self.chosen) for chosen, _ in heard], dim=1)
        real = mask.to(torch.int32).repeat_interleave(self.chosen, 1).unsqueeze(1).expand_as(places)
        counts = torch.zeros(rows, self.layers, width, dtype=torch.int32, device=places.device)
        return counts.scatter_add_(2, places, real)

    def keep(self, version: str, load: "torch.Tensor") -> None:
        """Add a finished answer's load, [layers, experts], to those of its version."""
        self.kept.setdefault(version, deque(maxlen=WINDOW)).append(load.cpu())

    def tell(self, version: str) -> ExpertLoad | None:
        """The load of the version's newest answers, at most WINDOW; None where the routers do not tell it."""
        import torch

        if not self.usual:
            return None
        kept = list(self.kept.get(version, ()))
        if not kept:
            return ExpertLoad(0, 0, 0, self.chosen, (), (), ())
        loads = torch.stack(kept).long()
        tokens = loads[:, 0].sum(-1) // self.chosen
        return ExpertLoad(
            answers=len(kept),
            tokens=int(tokens.sum()),
            squared_tokens=int((tokens**2).sum()),
            chosen=self.chosen,
            counts=loads.sum(0).tolist(),
            squares=(loads**2).sum(0).tolist(),
            products=(loads * tokens[:, None, None]).sum(0).tolist(),
        )

    def _hear(self, _router: Any, _given: Any, told: Any) -> None:
        usual = isinstance(told, tuple) and len(told) > 2 and not told[2].is_floating_point()
        if self.heard is not None and usual:
            self.heard.append((told[2], told[0].shape[-1]))


def find_experts(model: Any) -> Experts | None:
    """A listener for a mixture of experts; None for another model.

    Transformers names the class of a model's routers as what records `router_logits`; nearly all of these return
    logits, weights and the indices of the chosen experts, [tokens, chosen].
    """
    recorder = (getattr(model, "_can_record_outputs", None) or {}).get("router_logits")
    kind = getattr(recorder, "target_class", None)
    routers = [module for module in model.modules() if isinstance(module, kind)] if kind is not None else []
    return Experts(routers) if routers else None
