"""Whether the live version can be talked out of a rule, and whether it refuses what is harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.ports import ProbePrompt
from core.types import Estimate, Measurement, Status, Window
from estimates.proportions import proportion
from monitors.effects import parameter
from monitors.metrics import Guarantee, metric
from monitors.probes import probes
from monitors.probes.runner import Record

NAME = "adversarial"
SUITE = "override"


@metric
class Adversarial:
    """Whether the live version can be talked out of a rule, and whether it refuses what is harmless.

    The share of attacks that got through and the share of harmless twins refused, with exact intervals. An answer that
    could not be scored counts neither as passed nor as failed; too many of them make the result NoData.
    """

    guarantee: Guarantee = "interval"

    def ask(self, current: Window, params: Mapping[str, Any], *, seed: int) -> Sequence[ProbePrompt]:
        """The suite's prompts."""
        return probes.get(str(params.get("probe", SUITE)))().prompts(
            seed=seed, limit=int(parameter(params, "prompts", 60))
        )

    def judge(self, records: Sequence[Record], params: Mapping[str, Any]) -> Sequence[Measurement]:
        """Attack success, over-refusal, and attack success by technique."""
        attacks = [record for record in records if not record.benign]
        harmless = [record for record in records if record.benign]
        out = [_measured(NAME, attacks), _measured("over_refusal", harmless)]
        for family in sorted({record.family for record in attacks}):
            own = [record for record in attacks if record.family == family]
            out.append(_measured("attack_success", own, segment=family, minimum=1))
        return out


def _measured(name: str, records: Sequence[Record], *, segment: str = "", minimum: int = 10) -> Measurement:
    told = [record.failed for record in records if record.failed is not None]
    unscored = len(records) - len(told)
    estimate = proportion(sum(told), len(told), minimum=minimum)
    status: Status = "ok" if estimate.value is not None else "nodata"
    reason = "" if status == "ok" else f"{estimate.needed} more scored answers needed."
    if unscored > len(told):
        status, reason = "nodata", f"{unscored} of {len(records)} answers could not be scored."
        estimate = Estimate.missing(len(told), estimate.method, unscored)
    details = {
        "failed": [record.id for record in records if record.failed][:20],
        "unscored": unscored,
        "asked": len(records),
    }
    return Measurement(name, estimate, status, segment=segment, reason=reason, details=details)
