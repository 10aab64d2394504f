"""How often the live version's implicit reward agrees with the choices that people make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.types import Estimate, Measurement
from estimates.means import mean
from estimates.proportions import LEVEL, MINIMUM, difference
from estimates.sequences import look_level
from monitors.metrics import Guarantee, metric
from monitors.ranking import Ranked

NAME = "preference_accuracy"
CHANGE = "preference_change"
WANTING = "{} more choices needed since the live version's release."
# Details by which a look remembers the earlier ones.
REMEMBERED = ("margins", "look", "newest")
SHOWN = 5


@metric
class PreferenceAccuracy:
    """How often the live version's implicit reward agrees with the choices that people make.

    The share of the newest choices since the live version's release with a margin above 0 against its base
    (monitors.ranking), ties counting one half, and its change since the first choices after the release. A conversation
    is one unit of the intervals, which hold at all looks of the version together (estimates.sequences.look_level).
    """

    guarantee: Guarantee = "interval"

    def rank(
        self, newest: Sequence[Ranked], missing: str, *, first: Sequence[Ranked], earlier: Mapping[str, Any]
    ) -> Sequence[Measurement]:
        """The accuracy with its interval; NoData with the reason `missing`, or while there are too few choices.

        Where there are enough choices before the newest ones, the change since `first` follows.
        """
        if missing or not newest:
            reason = missing or WANTING.format(MINIMUM)
            kept = {name: earlier[name] for name in REMEMBERED if name in earlier}
            needed = 0 if missing else MINIMUM
            return [Measurement(NAME, Estimate.missing(0, "none", needed), "nodata", reason=reason, details=kept)]
        # A look at the choices of the last one says nothing new, and takes nothing of what may be missed.
        look = int(earlier.get("look", 0)) + (newest[-1].key != earlier.get("newest"))
        margins = {str(one.key): one.margin for one in (*first, *newest)}
        memory = {"margins": margins, "look": look, "newest": newest[-1].key}
        now, then = share(newest, look), share(first, look)
        if now.value is None:
            return [Measurement(NAME, now, "nodata", reason=WANTING.format(now.needed), details=memory)]
        wrong = sorted((one for one in newest if one.margin < 0), key=lambda one: one.margin)[:SHOWN]
        told = {"most_wrong": [{"inference": one.inference, "margin": one.margin} for one in wrong]}
        out = [Measurement(NAME, now, "ok", details={**memory, **told})]
        if then.value is not None:
            shown = {"first": {"value": then.value, "low": then.low, "high": then.high, "n": then.n}}
            out.append(Measurement(CHANGE, difference(now, then), "ok", details=shown))
        return out


def share(ranked: Sequence[Ranked], look: int) -> Estimate:
    """The share of choices that the version agrees with, at the level of its `look`-th look."""
    hits = [1.0 if one.margin > 0 else 0.5 if one.margin == 0 else 0.0 for one in ranked]
    found = mean(hits, low=0, high=1, clusters=[one.unit for one in ranked], level=look_level(look))
    return replace(found, method=f"{found.method}, look {look} of all at {LEVEL:.0%} together")
