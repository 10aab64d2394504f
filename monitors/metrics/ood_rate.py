"""How many prompts lie outside what the model was preference-trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.types import Estimate, Measurement, Window
from estimates.means import mean
from estimates.proportions import proportion
from monitors.effects import parameter
from monitors.metrics import Guarantee, metric
from monitors.statistics.membership import MINIMUM, Membership, fewest_members, foreign_share

NAME = "ood_rate"
LEVEL = 0.05
FARTHEST = 5
# One split of the approved prompts for every look, so that looks differ by the traffic only.
SPLIT_SEED = 0


@metric
class OodRate:
    """How many prompts lie outside what the model was preference-trained on.

    Each opening prompt gets a conformal p-value against the prompts of the approved pairs
    (monitors.statistics.membership); the number is the share with p at or below `params.level`. Prompts like those of
    the pairs are flagged at most that often.
    """

    guarantee: Guarantee = "interval"

    def compare(self, trained: Any, current: Any, window: Window, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The share flagged with its interval; NoData while approved prompts or traffic are too few."""
        kept = _first_of_each(window)
        level = parameter(params, "level", LEVEL)
        fewest = max(MINIMUM, fewest_members(level))
        if len(trained) < fewest:
            more = fewest - len(trained)
            missing = Estimate.missing(len(kept), "clopper-pearson 95%", more)
            return [Measurement(NAME, missing, "nodata", reason=f"{more} more prompts of approved pairs needed.")]
        members = Membership.fit(trained, seed=SPLIT_SEED)
        p = members.p_values(current)[kept].tolist() if kept else []
        flagged = [value <= level for value in p]
        weights = [window.rows[index].probability for index in kept]
        if any(weight < 1 for weight in weights):
            estimate = mean([float(one) for one in flagged], low=0, high=1, probabilities=weights)
        else:
            estimate = proportion(sum(flagged), len(flagged))
        if estimate.value is None or estimate.low is None:
            return [Measurement(NAME, estimate, "nodata", reason=f"{estimate.needed} more prompts needed.")]
        most_false = members.false_share(level)
        farthest = sorted(zip(p, kept, strict=True))[:FARTHEST]
        details = {
            "level": level,
            "trained_prompts": len(trained),
            "false_share_at_most": most_false,
            "from_elsewhere_at_least": foreign_share(estimate.low, most_false),
            "farthest": [{"inference": window.rows[index].inference.id, "p": value} for value, index in farthest],
        }
        return [Measurement(NAME, estimate, "ok", details=details)]


def _first_of_each(window: Window) -> list[int]:
    """The places of the first row of each conversation and of the rows without one; empty prompts are left out."""
    seen: set[str] = set()
    kept = []
    for place, row in enumerate(window.rows):
        if row.inference.conversation in seen or not row.inference.prompt.strip():
            continue
        if row.inference.conversation:
            seen.add(row.inference.conversation)
        kept.append(place)
    return kept
