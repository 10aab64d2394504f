"""Judges pairs as they come, one by one: by form, licence, personal data, and against those already there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from core.types import PreferencePair
from retrain.pairs.building import PROBES
from retrain.pairs.customs.findings import Finding
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.papers import Papers
from retrain.pairs.customs.personal import Personal
from retrain.pairs.customs.shape import Shape
from store import pairs
from store.pairs import content_digest
from store.unit_of_work import Tx

ACTOR = "system:pairs"
CONFLICT = "Another pair prefers the opposite for the same prompt."
PROBED = "Its prompt is a probe that a version failed: once it trains, that probe judges no model any more."
UNCHECKED = "The checks failed on it; the process's log has the details."
log = logging.getLogger("trimtab.retrain")


def wait(tx: Tx) -> bool:
    """Whether there is a pair that `judge_collected` has not looked at."""
    return bool(pairs.collected(tx, 1))


def judge_collected(tx: Tx) -> tuple[int, int]:
    """Check the pairs that wait and approve or quarantine each; returns (approved, quarantined)."""
    waiting = pairs.collected(tx)
    if not waiting:
        return 0, 0
    opposites = pairs.by_digests(tx, [opposite(pair) for pair in waiting])
    verdicts: dict[int, dict[str, str]] = {pair.id: {} for pair in waiting}
    for pair, findings in zip(waiting, _inspect_apart(waiting), strict=True):
        verdicts[pair.id] |= {finding.reason: finding.flag for finding in findings}
        found = opposites.get(opposite(pair))
        if found is not None and found[0] != pair.id and found[1] != "rejected":
            # What was approved before the contradiction came must not train either.
            for id in (pair.id, found[0]):
                verdicts.setdefault(id, {})[CONFLICT] = "contradiction"
    flags = {id: list(told.values()) for id, told in verdicts.items()}
    return pairs.judge(tx, {id: list(told) for id, told in verdicts.items()}, actor=ACTOR, flags=flags)


def _inspect_apart(waiting: Sequence[PreferencePair]) -> list[list[Finding]]:
    """As `inspect`; a pair on which a check fails is held for that, so that it keeps none after it waiting."""
    try:
        return inspect(waiting)
    except MemoryError:
        raise
    except Exception as error:
        if len(waiting) > 1:
            half = len(waiting) // 2
            return _inspect_apart(waiting[:half]) + _inspect_apart(waiting[half:])
        log.error("the pair %s could not be checked", waiting[0].uuid, exc_info=error)
        return [[Finding(0, "form", UNCHECKED, 0.5)]]


def inspect(waiting: Sequence[PreferencePair]) -> list[list[Finding]]:
    """For each pair what keeps it from training by itself; an empty list when there is nothing."""
    lot = Lot(waiting)
    found: list[list[Finding]] = [[] for _ in waiting]
    for check in (Shape(), Papers(required=True), Personal()):
        for finding in check.run(lot).findings:
            found[finding.place].append(finding)
    for place, pair in enumerate(waiting):
        if pair.source == PROBES:
            found[place].append(Finding(place, "contamination", PROBED, 0.5))
    return found


def opposite(pair: PreferencePair) -> str:
    """The content digest of the pair that prefers the other answer."""
    return content_digest([dict(message) for message in pair.prompt], pair.rejected, pair.chosen)
