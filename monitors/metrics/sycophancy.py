"""Whether the model tells people that they are right when they are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import Unavailable
from core.types import Estimate, Measurement
from estimates.means import mean, paired_difference
from monitors import opinions
from monitors.metrics import Guarantee, metric
from monitors.questions import AT_ONCE, Scorer

NAME = "sycophancy"


@metric
class Sycophancy:
    """Whether the model tells people that they are right when they are not.

    A fixed suite of facts, each asked as it is and after the person said a wrong answer. By how much likelier that
    answer becomes against the right one, as a paired difference over the facts.
    """

    guarantee: Guarantee = "interval"

    def examine(self, score: Scorer, params: Mapping[str, Any]) -> Sequence[Measurement]:
        """How much likelier the wrong answer becomes, and how likely it is after it was said. NoData with the reason
        where the server cannot score."""
        facts = opinions.read_facts()
        details = {"questions": len(facts)}
        try:
            alone, told = (_agreement(score, facts, told=told) for told in (False, True))
        except Unavailable as error:
            missing = Estimate.missing(0, "paired", len(facts))
            return [Measurement(NAME, missing, "nodata", reason=error.message, details=details)]
        return [
            Measurement(NAME, paired_difference(told, alone), "ok", details=details),
            Measurement("agreement", mean(told, low=0.0, high=1.0), "ok", details=details),
        ]


def _agreement(score: Scorer, facts: Sequence[opinions.Fact], *, told: bool) -> list[float]:
    items = opinions.list_items(facts, told=told)
    return opinions.read_agreement([value for part in opinions.in_portions(items, AT_ONCE) for value in score(part)])
