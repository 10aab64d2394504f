"""How often each detector errs, as it was measured against labels of people; the counts are kept beside this file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from core.errors import NotFound

ENOUGH = 20


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of a detector against labels: `found` of `positives` were seen, `passed` of `negatives` were let pass."""

    found: int
    positives: int
    passed: int
    negatives: int
    source: str = ""

    @property
    def sensitivity(self) -> tuple[int, int]:
        """What was found of what is there: recall."""
        return self.found, self.positives

    @property
    def specificity(self) -> tuple[int, int]:
        """What was let pass of what is not there."""
        return self.passed, self.negatives

    @property
    def precision(self) -> tuple[int, int]:
        """What is there of what the detector showed. It holds for the mix of rows that was labelled only."""
        return self.found, self.found + self.negatives - self.passed

    def plus(self, other: Confusion) -> Confusion:
        """Both counts together."""
        return Confusion(
            self.found + other.found,
            self.positives + other.positives,
            self.passed + other.passed,
            self.negatives + other.negatives,
            self.source or other.source,
        )

    def as_json(self) -> dict[str, Any]:
        """The counts for a measurement's details."""
        return {
            "found": self.found,
            "positives": self.positives,
            "passed": self.passed,
            "negatives": self.negatives,
            "source": self.source,
        }


def confusions_of(detector: str, here: Confusion | None = None) -> dict[str, Confusion]:
    """The counts of `detector` by the model that was labelled, of models that its rules were not written on.

    Once `here` holds ENOUGH labels of either kind from this installation's own answers, it alone counts. Raises
    NotFound for a detector without labels.
    """
    if here is not None and min(here.positives, here.negatives) >= ENOUGH:
        return {"this installation": here}
    kept = _counts().get(detector)
    if kept is None:
        raise NotFound(f"The detector {detector} was measured against no labels.", "Label some of its answers.")
    return {name: Confusion(**kept["models"][name], source=kept["source"]) for name in kept["held_out"]}


def total(counts: Iterable[Confusion]) -> Confusion:
    """All counts together."""
    whole = Confusion(0, 0, 0, 0)
    for own in counts:
        whole = whole.plus(own)
    return whole


@cache
def _counts() -> Mapping[str, Any]:
    loaded: dict[str, Any] = json.loads(files("monitors.detectors").joinpath("measured.json").read_text("utf-8"))
    return loaded
