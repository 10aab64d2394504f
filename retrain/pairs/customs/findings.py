"""What a check says: findings about pairs, notes about the whole lot, or why it could not look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from retrain.pairs.customs.lot import Lot


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the pair at `place`: `flag` is its stable name, `reason` a sentence for a person.

    `suspicion` is the probability, as far as the check can tell, that the pair should not train as it is. A finding
    that `holds` puts the pair into quarantine; the others only raise its score.
    """

    place: int
    flag: str
    reason: str
    suspicion: float
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Suspect:
    """A phrase after which labels look turned round: its words, with a sign where a message begins or ends; `chance`,
    the corrected p-value; and whether its pairs were held."""

    words: str
    chance: float
    held: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found; `notes` and `figures` are about the whole lot, `skipped` says why it did not run.

    `suspects` are phrases to probe a trained model with, first the most suspicious; they are nothing to print.
    """

    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    suspects: Sequence[Suspect] = ()
    skipped: str = ""


class Check(Protocol):
    """One look at a lot. `name` is the file's name; `run` changes nothing."""

    name: str

    def run(self, lot: Lot) -> Result: ...
