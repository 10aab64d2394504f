"""Judges pairs as they come, one by one: by form, licence, personal data, and against those already there."""

from __future__ import annotations

from collections.abc import Sequence

from core.types import PreferencePair
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.papers import Papers
from retrain.pairs.customs.personal import Personal
from retrain.pairs.customs.shape import Shape
from store import pairs
from store.pairs import content_digest
from store.unit_of_work import Tx

ACTOR = "system:pairs"
CONFLICT = "Another pair prefers the opposite for the same prompt."


def judge_collected(tx: Tx) -> tuple[int, int]:
    """Check the pairs that wait and approve or quarantine each; returns (approved, quarantined)."""
    waiting = pairs.collected(tx)
    if not waiting:
        return 0, 0
    opposites = pairs.by_digests(tx, [opposite(pair) for pair in waiting])
    verdicts: dict[int, list[str]] = {}
    for pair, reasons in zip(waiting, inspect(waiting), strict=True):
        found = opposites.get(opposite(pair))
        if found is not None and found[0] != pair.id and found[1] != "rejected":
            reasons.append(CONFLICT)
            # What was approved before the contradiction came must not train either.
            verdicts.setdefault(found[0], []).append(CONFLICT)
        verdicts.setdefault(pair.id, []).extend(reason for reason in reasons if reason not in verdicts.get(pair.id, ()))
    return pairs.judge(tx, verdicts, actor=ACTOR)


def inspect(waiting: Sequence[PreferencePair]) -> list[list[str]]:
    """For each pair the reasons why it may not train by itself; an empty list when there is none."""
    lot = Lot(waiting)
    reasons: list[list[str]] = [[] for _ in waiting]
    for check in (Shape(), Papers(required=True), Personal()):
        for finding in check.run(lot).findings:
            reasons[finding.place].append(finding.reason)
    return reasons


def opposite(pair: PreferencePair) -> str:
    """The content digest of the pair that prefers the other answer."""
    return content_digest([dict(message) for message in pair.prompt], pair.rejected, pair.chosen)
