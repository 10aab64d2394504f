"""Prompts that are counted together: a suite's attacks, its twins, a technique; with the rates that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.ports import ProbePrompt
from core.types import Estimate, Measurement, Status
from estimates.corrected import corrected_rate
from estimates.means import mean
from estimates.proportions import LEVEL, proportion
from monitors.detectors.measured import Confusion, total
from monitors.probes.outcomes import Outcome
from monitors.probes.runner import Record

SHOWN = 20
# Independent units that an interval by normal approximation needs.
UNITS = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts with the newest outcome of each that has one, and the records of the present pass."""

    prompts: Sequence[ProbePrompt]
    outcomes: Sequence[Outcome]
    records: Sequence[Record]

    @classmethod
    def of(
        cls, prompts: Sequence[ProbePrompt], judged: Mapping[str, Outcome], records: Mapping[str, Sequence[Record]]
    ) -> Group:
        """The group of `prompts`, from outcomes and records by the prompts' ids."""
        ids = [prompt.id for prompt in prompts]
        return cls(
            prompts,
            [judged[id] for id in ids if id in judged],
            [record for id in ids for record in records.get(id, ())],
        )

    def rate(self, name: str, *, minimum: int, tries: int = 1, details: Mapping[str, Any] | None = None) -> Measurement:
        """The share of prompts that failed in any of `tries` askings (hit@k), with its exact interval."""
        failed = sum(outcome.failed for outcome in self.outcomes)
        estimate = proportion(failed, len(self.outcomes), minimum=minimum)
        if tries > 1:
            estimate = replace(estimate, method=f"hit@{tries}, {estimate.method}")
        return self._measured(name, estimate, details=details)

    def part(self, name: str, segment: str, *, level: float) -> Measurement:
        """The share of one technique or suite. No verdict while prompts without outcome could still fail."""
        failed = sum(outcome.failed for outcome in self.outcomes)
        estimate = proportion(failed, len(self.outcomes), minimum=1, level=level)
        found = self._measured(name, estimate, segment=segment)
        missing = len(self.prompts) - len(self.outcomes)
        if found.status == "ok" and missing and not failed:
            reason = f"{missing} of {len(self.prompts)} prompts have no answer yet."
            return replace(found, status="nodata", reason=reason)
        return found

    def rate_per_try(self, name: str) -> Measurement:
        """The share of single askings that failed. Those of one prompt are no independent draws: it is the unit."""
        tries = [(float(place < o.hits), o.id) for o in self.outcomes for place in range(o.tries)]
        estimate = mean([hit for hit, _ in tries], low=0.0, high=1.0, clusters=[id for _, id in tries], minimum=UNITS)
        return self._measured(name, estimate)

    def rate_by_question(self, name: str) -> Measurement:
        """The share of compared answers that differ. Those to one question are no independent draws: it is the unit."""
        question = {prompt.id: prompt.against for prompt in self.prompts}
        estimate = mean(
            [float(outcome.failed) for outcome in self.outcomes],
            low=0.0,
            high=1.0,
            clusters=[question[outcome.id] for outcome in self.outcomes],
            minimum=UNITS,
        )
        return self._measured(name, estimate)

    def corrected(self, name: str, confusions: Mapping[str, Confusion]) -> Measurement:
        """The share of failures with the detector's misses and false hits, and their uncertainty, taken into account.

        `confusions` are its counts on answers of several models. Detectors err differently on different models, by more
        than the counts' own uncertainty says, so the interval is the hull of the corrections by each; the value is that
        of all counts together.
        """
        failed, n = sum(outcome.failed for outcome in self.outcomes), len(self.outcomes)
        whole, *single = (
            corrected_rate(failed, n, sensitivity=counts.sensitivity, specificity=counts.specificity)
            for counts in (total(confusions.values()), *confusions.values())
        )
        ends = [(one.low, one.high) for one in single if one.low is not None and one.high is not None]
        method = f"{whole.method}, hull of {len(single)} models"
        if whole.value is None or len(ends) < len(single):
            estimate = Estimate.missing(n, method, whole.needed)
        else:
            low, high = min(low for low, _ in ends), max(high for _, high in ends)
            estimate = replace(whole, low=min(low, whole.value), high=max(high, whole.value), method=method)
        return self._measured(name, estimate, details={"detector": {m: c.as_json() for m, c in confusions.items()}})

    def _measured(
        self, name: str, estimate: Estimate, *, segment: str = "", details: Mapping[str, Any] | None = None
    ) -> Measurement:
        told = sum(record.failed is not None for record in self.records)
        unscored = len(self.records) - told
        status: Status = "ok"
        reason = ""
        if estimate.value is None:
            status, reason = "nodata", f"{estimate.needed} more scored answers needed."
        if unscored > told:
            status, reason = "nodata", f"{unscored} of {len(self.records)} answers could not be scored."
            estimate = Estimate.missing(len(self.outcomes), estimate.method, unscored)
        failed = [outcome for outcome in self.outcomes if outcome.failed]
        said = {
            "failures": len(failed),
            "failed": [outcome.id for outcome in failed][:SHOWN],
            # The probe and its captured exchange: what an alert leads to. No text of either.
            "exchanges": [[outcome.id, outcome.inference] for outcome in failed if outcome.inference][:SHOWN],
            "unscored": unscored,
            "asked": len(self.records),
            "prompts": len(self.prompts),
        }
        return Measurement(name, estimate, status, segment=segment, reason=reason, details={**said, **(details or {})})


def bonferroni(segments: int, level: float = LEVEL) -> float:
    """The level of each of `segments` intervals that hold together at `level`."""
    return 1 - (1 - level) / max(segments, 1)
