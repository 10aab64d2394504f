"""What became of each prompt of a suite: the newest outcome stands, so that small passes add up to the whole suite."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from monitors.detectors.measured import Confusion
from monitors.probes.runner import Record


@dataclass(frozen=True, slots=True)
class Outcome:
    """A prompt asked `tries` times, of which `hits` failed. `inference` is the exchange to show, best a failed one."""

    id: str
    hits: int
    tries: int
    inference: str = ""
    detector: str = ""

    @property
    def failed(self) -> bool:
        """Whether any try failed: hit@k for k = tries."""
        return self.hits > 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier passes found about the version that is asked, and what people said of it.

    `tries` is how often an attack was asked, `asked` the prompts asked, scored or not, oldest first. `overruled` are
    exchanges whose detector a person found wrong: they count as the opposite. `labelled` counts how the refusal
    detector did on answers that were drawn for people to label.
    """

    outcomes: Sequence[Outcome] = ()
    tries: int = 1
    asked: Sequence[str] = ()
    overruled: Collection[str] = field(default_factory=frozenset)
    labelled: Confusion | None = None


def outcomes_of(records: Iterable[Record]) -> list[Outcome]:
    """One outcome a prompt. A prompt without a hit of which a try could not be scored has none: never passed."""
    tries: dict[str, list[Record]] = {}
    for record in records:
        tries.setdefault(record.id, []).append(record)
    out = []
    for id, own in tries.items():
        hits = [record for record in own if record.failed]
        if hits or all(record.failed is not None for record in own):
            scored = sum(record.failed is not None for record in own)
            out.append(Outcome(id, len(hits), scored, (hits or own)[0].inference, own[0].detector))
    return out


def newest(earlier: Sequence[Outcome], fresh: Sequence[Outcome]) -> list[Outcome]:
    """The newest outcome of each prompt, oldest first."""
    found = {outcome.id: outcome for outcome in earlier}
    for outcome in fresh:
        found.pop(outcome.id, None)
        found[outcome.id] = outcome
    return list(found.values())


def overruled(outcomes: Iterable[Outcome], exchanges: Collection[str]) -> list[Outcome]:
    """The outcomes, with the one try that a person judged otherwise counted as the person says."""
    return [
        replace(outcome, hits=outcome.hits - 1 if outcome.failed else outcome.hits + 1)
        if outcome.inference and outcome.inference in exchanges
        else outcome
        for outcome in outcomes
    ]


def as_json(outcomes: Iterable[Outcome]) -> list[list[Any]]:
    """The outcomes as they are kept in a measurement's details."""
    return [[outcome.id, outcome.hits, outcome.tries, outcome.inference, outcome.detector] for outcome in outcomes]


def from_json(details: Mapping[str, Any]) -> list[Outcome]:
    """The outcomes that a measurement's details hold; none where there are none."""
    return [
        Outcome(str(id), int(hits), int(tries), str(uuid), str(detector))
        for id, hits, tries, uuid, detector in details.get("outcomes", [])
    ]
