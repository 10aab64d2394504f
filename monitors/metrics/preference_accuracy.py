"""How often the live version's implicit reward agrees with the choices that people make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.types import Measurement
from estimates.means import mean
from monitors.metrics import Guarantee, metric
from monitors.ranking import Ranked

NAME = "preference_accuracy"
SHOWN = 5


@metric
class PreferenceAccuracy:
    """How often the live version's implicit reward agrees with the choices that people make.

    The share of choices made since the live version's release with a margin above 0 against its base
    (monitors.ranking), ties counting one half; a conversation is one unit of the interval.
    """

    guarantee: Guarantee = "interval"

    def rank(self, ranked: Sequence[Ranked], missing: str, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """The accuracy with its interval; NoData with the reason `missing`, or while there are too few choices."""
        hits = [1.0 if one.margin > 0 else 0.5 if one.margin == 0 else 0.0 for one in ranked]
        estimate = mean(hits, low=0, high=1, clusters=[one.unit for one in ranked])
        if estimate.value is None:
            reason = missing or f"{estimate.needed} more choices needed since the live version's release."
            return [Measurement(NAME, estimate, "nodata", reason=reason)]
        wrong = sorted((one for one in ranked if one.margin < 0), key=lambda one: one.margin)[:SHOWN]
        details = {"most_wrong": [{"inference": one.inference, "margin": one.margin} for one in wrong]}
        return [Measurement(NAME, estimate, "ok", details=details)]
