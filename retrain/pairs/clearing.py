"""Takes the approved pairs through customs before a run draws from them; what is held can be released by a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.types import PreferencePair
from retrain.pairs.customs.inspection import checks, inspect_lot
from retrain.pairs.customs.suites import own_texts
from store import pairs
from store.unit_of_work import Tx

ACTOR = "system:customs"
# Older pairs say less of what people want now.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Cleared:
    """What customs said of the pairs they saw: the reasons by the key of each pair held, and what a card tells.

    `clusters` gives each pair's key the number of its cluster of nearly equal prompts.
    """

    reasons: dict[int, list[str]]
    clusters: dict[int, int]
    card: dict[str, Any]


def clear(found: Sequence[PreferencePair], *, share: float, seed: int) -> Cleared:
    """Inspect the pairs as one lot; `share` is what one contributor may have. Pure, and slow for thousands."""
    inspected = inspect_lot(found, checks(own_texts(), cap=share, papers=True), seed=seed)
    verdicts = list(zip(found, inspected.verdicts, strict=True))
    reasons = {pair.id: list(verdict.reasons) for pair, verdict in verdicts if verdict.quarantined}
    flags = Counter(flag for _, verdict in verdicts for flag in verdict.flags)
    told = inspected.summary()
    card = {"flags": dict(flags), "notes": told["notes"], "not_run": told["not_run"]}
    return Cleared(reasons, {pair.id: int(n) for pair, n in zip(found, inspected.clusters, strict=True)}, card)


def hold(tx: Tx, cleared: Cleared) -> list[PreferencePair]:
    """Quarantine what customs hold, but not what a person decided on; returns the inspected pairs still approved."""
    if cleared.reasons:
        pairs.judge(tx, cleared.reasons, actor=ACTOR)
    return [pair for pair in pairs.approved(tx, MOST) if pair.id in cleared.clusters]
