"""Takes the approved pairs through customs before a run draws from them; what is held can be released by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from core.types import PreferencePair
from retrain.pairs.customs.findings import Suspect
from retrain.pairs.customs.inspection import Report, checks, inspect_lot
from retrain.pairs.customs.suites import own_texts
from store import pairs
from store.unit_of_work import Tx

ACTOR = "system:customs"
# Older pairs say less of what people want now.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Cleared:
    """What customs said of the pairs they saw: reasons and flags by the key of each pair held, and what a card tells.

    `clusters` gives each pair's key the number of its cluster of nearly equal prompts; `summary` is all that was said
    of the lot; `suspects` are the phrases that a candidate is probed with.
    """

    reasons: dict[int, list[str]]
    clusters: dict[int, int]
    card: dict[str, Any]
    flags: dict[int, list[str]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    suspects: Sequence[Suspect] = ()


def clear(
    found: Sequence[PreferencePair], *, share: float, seed: int, progress: Report = lambda share, note: None
) -> Cleared:
    """Inspect the pairs as one lot; `share` is what one contributor may have. Pure, and slow for thousands."""
    inspected = inspect_lot(found, checks(own_texts(), cap=share, papers=True), seed=seed, progress=progress)
    verdicts = list(zip(found, inspected.verdicts, strict=True))
    held = {pair.id: verdict for pair, verdict in verdicts if verdict.quarantined}
    told = inspected.summary()
    return Cleared(
        {id: list(verdict.reasons) for id, verdict in held.items()},
        {pair.id: int(n) for pair, n in zip(found, inspected.clusters, strict=True)},
        {"flags": told["flags"], "notes": told["notes"], "not_run": told["not_run"]},
        {id: list(verdict.flags) for id, verdict in held.items()},
        told,
        [suspect for result in inspected.results.values() for suspect in result.suspects],
    )


def hold(tx: Tx, cleared: Cleared) -> list[PreferencePair]:
    """Quarantine what customs hold, but not what a person decided on; returns the inspected pairs still approved."""
    if cleared.reasons:
        pairs.judge(tx, cleared.reasons, actor=ACTOR, flags=cleared.flags)
    return [pair for pair in pairs.approved(tx, MOST) if pair.id in cleared.clusters]
