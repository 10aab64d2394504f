"""Whether a mixture of experts sends too much to one of its experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from core.ports import ExpertLoad
from core.types import Estimate, Measurement
from estimates.largest import largest_share
from monitors.metrics import Guarantee, metric

NAME = "expert_load"
METHOD = "largest share"
NONE = "This server reports no expert load."


@metric
class ExpertLoadMetric:
    """Whether a mixture of experts sends too much to one of its experts.

    The share of tokens that the busiest expert of any layer takes, from 0 (as many as every other) to 1 (every token of
    its layer), over the live version's newest answers; answers are the independent units.
    """

    guarantee: Guarantee = "interval"

    def weigh(self, load: ExpertLoad | None, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The busiest expert's load with its interval; NoData for a server without one and for too few answers."""
        if load is None:
            return [Measurement(NAME, Estimate.missing(0, METHOD), "nodata", reason=NONE)]
        found = largest_share(
            load.counts,
            load.squares,
            load.products,
            units=load.answers,
            size=load.tokens,
            squared_size=load.squared_tokens,
        )
        if found.value is None:
            return [Measurement(NAME, found, "nodata", reason=f"{found.needed} more answers needed.")]
        shares = [[count / load.tokens for count in layer] for layer in load.counts]
        even = load.chosen / len(shares[0])
        details = {
            "tokens": load.tokens,
            "experts": len(shares[0]),
            "chosen": load.chosen,
            "even_share": round(even, 4),
            "largest_share": round(found.value, 4),
            "busiest": _busiest(shares),
            "unused": sum(count == 0 for layer in load.counts for count in layer),
            "entropy": [round(entropy(layer), 4) for layer in shares],
        }
        return [Measurement(NAME, beyond_even(found, even), "ok", details=details)]


def beyond_even(share: Estimate, even: float) -> Estimate:
    """A share brought onto the scale from 0 (even) to 1 (all); the largest of several is never below even."""
    ends = [
        0.0 if end is None or even >= 1 else max(0.0, (end - even) / (1 - even))
        for end in (share.value, share.low, share.high)
    ]
    return Estimate(ends[0], ends[1], ends[2], share.n, share.method)


def entropy(shares: Sequence[float]) -> float:
    """The entropy of a layer's choices over that of even use: 1 for even use, 0 for one expert."""
    total, most = sum(shares), log(len(shares)) if len(shares) > 1 else 0.0
    told = -sum(share / total * log(share / total) for share in shares if share)
    return told / most if most else 1.0


def _busiest(shares: Sequence[Sequence[float]]) -> dict[str, int]:
    layer, expert = max(
        ((layer, expert) for layer, row in enumerate(shares) for expert in range(len(row))),
        key=lambda place: shares[place[0]][place[1]],
    )
    return {"layer": layer, "expert": expert}
