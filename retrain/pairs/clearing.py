"""Takes the approved pairs through customs before a run draws from them; what is held can be released by a person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.types import PreferencePair
from retrain.pairs import margins
from retrain.pairs.customs.findings import Suspect
from retrain.pairs.customs.inspection import Report, checks, inspect_lot
from retrain.pairs.customs.labels import weight
from retrain.pairs.customs.reliability import FLAG as UNRELIABLE
from retrain.pairs.customs.suites import own_texts
from retrain.pairs.customs.triggers import FLAG as TRIGGER
from retrain.pairs.customs.turned import FLAG as TURNED
from retrain.pairs.unseen import list_unseen
from store import pairs
from store.unit_of_work import Tx

ACTOR = "system:customs"
# Older pairs say less of what people want now.
MOST = 20_000
# Flags of what labels say, not texts alone.
LABELLED = (TRIGGER, UNRELIABLE, TURNED)


@dataclass(frozen=True, slots=True)
class Cleared:
    """What customs said of the pairs they saw: reasons and flags by the key of each pair held, and what a card tells.

    `clusters` gives each pair's key the number of its cluster of nearly equal prompts; `summary` is all that was said
    of the lot; `suspects` are the phrases that a candidate is probed with. `weights` says by key how much a pair may
    teach, where that is not 1: its label is doubtful.
    """

    reasons: dict[int, list[str]]
    clusters: dict[int, int]
    card: dict[str, Any]
    flags: dict[int, list[str]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    suspects: Sequence[Suspect] = ()
    weights: dict[int, float] = field(default_factory=dict)


def read(tx: Tx) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """The newest approved pairs, and those that customs hold for what their labels say and nobody decided on.

    What was held stays in view: a second look at the same pairs says the same, and poison that comes drop by drop adds
    up.
    """
    found = pairs.approved(tx, MOST)
    return found, pairs.held_for(tx, LABELLED, MOST) if found else []


def clear(
    found: Sequence[PreferencePair],
    held_before: Sequence[PreferencePair] = (),
    *,
    share: float,
    seed: int,
    known: margins.Known | None = None,
    progress: Report = lambda share, note: None,
) -> Cleared:
    """Inspect the pairs as one lot, beside those `held_before`; says only of the former. `share` is what one
    contributor may have, `known` what the chat model said of pairs. Pure, and slow for thousands."""
    lot = sorted([*found, *held_before], key=lambda pair: pair.id)
    wanted = checks(own_texts(), cap=share, papers=True, held={pair.id for pair in held_before})
    told = margins.align(lot, known or {})
    whole = inspect_lot(lot, wanted, seed=seed, told=told, progress=progress)
    asked = {pair.id for pair in found}
    places = [place for place, pair in enumerate(lot) if pair.id in asked]
    inspected = whole.of(places)
    found = [lot[place] for place in places]
    verdicts = list(zip(found, inspected.verdicts, strict=True))
    held = {pair.id: verdict for pair, verdict in verdicts if verdict.quarantined}
    summary = {**inspected.summary(), "unseen": list_unseen(whole, lot)}
    return Cleared(
        {id: list(verdict.reasons) for id, verdict in held.items()},
        {pair.id: int(n) for pair, n in zip(found, inspected.clusters, strict=True)},
        {name: summary[name] for name in ("flags", "notes", "not_run", "unseen")},
        {id: list(verdict.flags) for id, verdict in held.items()},
        summary,
        [suspect for result in inspected.results.values() for suspect in result.suspects],
        {pair.id: weight(right) for pair, right in zip(found, inspected.right, strict=True) if right < 1},
    )


def weigh(
    found: Sequence[PreferencePair], cleared: Cleared, released: Collection[int] = frozenset()
) -> list[PreferencePair]:
    """The pairs with what customs leave of their weights. Those in `released`, by their keys, keep their own: a person
    let them go, whatever customs say."""

    def left(pair: PreferencePair) -> float:
        return 1.0 if pair.id in released else cleared.weights.get(pair.id, 1.0)

    return [replace(pair, weight=pair.weight * left(pair)) for pair in found]


def hold(tx: Tx, cleared: Cleared) -> int:
    """Quarantine what customs hold, but not what a person decided on; returns how many that are."""
    _, held = pairs.judge(tx, cleared.reasons, actor=ACTOR, flags=cleared.flags)
    return held
