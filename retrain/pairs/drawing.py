"""Draws a run's dataset from the approved pairs: split by prompt, locked, and written for the training child.

Thousands of pairs take seconds to read, split and digest, and nobody could write meanwhile: `draw` works on what `look`
read, outside any transaction, and `lock` records it only where the pairs still stand as they were read.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import Conflict, InvalidInput, NotFound
from core.types import PreferencePair
from retrain.pairs.card import write_card
from retrain.pairs.clearing import MOST, Cleared, hold, weigh
from retrain.pairs.customs.shares import CAP, allowed
from retrain.pairs.split import HELD_OUT_SHARE, normalise, place, split_pairs, without
from store import datasets, pairs
from store.unit_of_work import Tx

ACTOR = "system:retrain"
# One seed for the whole installation: a prompt that is held out once is held out for ever, from every candidate.
SPLIT_SEED = 0
# So often a draw is begun again because somebody decided on pairs meanwhile.
DRAWS = 3
FEWEST_TRAIN, FEWEST_HELD_OUT = 4, 20
# With so many contributors some can be left to judge by alone.
MANY_CONTRIBUTORS = 20


@dataclass(frozen=True, slots=True)
class Ground:
    """What a draw rests on: what customs said, and the pairs that they saw as they stood when they were read.

    `approved` are those approved then, `released` the keys of those that a person let go, `counts` all pairs by state.
    """

    cleared: Cleared
    approved: Sequence[PreferencePair]
    released: frozenset[int]
    counts: Mapping[str, int]

    @property
    def held(self) -> frozenset[int]:
        """The keys of the approved pairs that customs hold; not of what a person decided on."""
        return frozenset(pair.id for pair in self.approved if pair.id in self.cleared.reasons) - self.released


@dataclass(frozen=True, slots=True)
class Drawn:
    """A dataset that is not locked yet: both sides, what its card tells, its digest, and what it rests on."""

    train: Sequence[PreferencePair]
    held_out: Sequence[PreferencePair]
    card: Mapping[str, Any]
    digest: str
    ground: Ground


def look(tx: Tx, cleared: Cleared) -> Ground:
    """Read what a draw rests on. Pairs that came since customs looked are not in it."""
    standing = pairs.standing(tx, min(cleared.clusters, default=0))
    found = [pair for pair in pairs.approved(tx, MOST) if pair.id in cleared.clusters]
    released = frozenset(pair.id for pair in found if standing.get(pair.id))
    return Ground(cleared, found, released, pairs.counts(tx))


def draw(ground: Ground, spec: Mapping[str, Any], *, share: float = CAP) -> Drawn:
    """Split what customs do not hold, as `spec` says. Pure, and slow for thousands.

    `share` is what one contributor may have of it. A run that learns from thumbs takes the pairs held out, to judge
    by, and none to train on. Raises InvalidInput when a side has too few pairs to mean anything.
    """
    cleared, held = ground.cleared, ground.held
    found = [pair for pair in ground.approved if pair.id not in held]
    capped = limit_contributors(found, share)
    # Pairs that no step reaches would only be scored for nothing.
    most_train = min(int(spec["max_train_pairs"]), int(spec["steps"]) * int(spec["pairs_per_step"]))
    most_held_out = int(spec["max_held_out_pairs"])
    split = split_pairs(capped, seed=SPLIT_SEED)
    held_out = split.held_out
    train = without(split.train, held_out, lambda pair: cleared.clusters.get(pair.id))
    apart = keep_contributors_apart(train, held_out)
    if apart is not None:
        train, held_out = apart
    train, held_out = train[:most_train], held_out[:most_held_out]
    train = weigh(train, cleared, ground.released)
    if len(train) < FEWEST_TRAIN or len(held_out) < FEWEST_HELD_OUT:
        raise InvalidInput(
            f"{len(found)} approved pairs give {len(train)} to train on and {len(held_out)} to judge by; "
            f"{FEWEST_TRAIN} and {FEWEST_HELD_OUT} are needed.",
            "Collect or import more pairs of different prompts.",
        )
    if spec.get("trainer") == "kto":
        train = []
    card = describe(train, held_out)
    card["funnel"] = {
        "in the store": sum(ground.counts.values()),
        "quarantined before": ground.counts["quarantined"],
        "quarantined by customs": len(held),
        "rejected": ground.counts["rejected"],
        "approved": ground.counts["approved"] - len(held),
        "within a contributor's share": len(capped),
        "drawn": len(train) + len(held_out),
    }
    card["customs"] = cleared.card
    card["contributors_apart"] = apart is not None
    card["text"] = write_card(card)
    return Drawn(train, held_out, card, datasets.digest_of(train, held_out), ground)


def lock(tx: Tx, drawn: Drawn, *, actor: str = ACTOR) -> Any | None:
    """Hold what customs found and lock what was drawn; returns the dataset's row.

    None, with nothing written, where a pair that customs saw was approved, held, rejected or released since `look`:
    what was drawn is then not what stands, and must be drawn again.
    """
    ground = drawn.ground
    then = {pair.id: pair.id in ground.released for pair in ground.approved}
    clusters = ground.cleared.clusters
    now = pairs.standing(tx, min(clusters, default=0))
    if then != {id: free for id, free in now.items() if id in clusters}:
        return None
    hold(tx, ground.cleared)
    return datasets.lock(
        tx, train=drawn.train, held_out=drawn.held_out, card=drawn.card, actor=actor, digest=drawn.digest
    )


def changed() -> Conflict:
    """What is said after DRAWS draws that `lock` refused."""
    return Conflict(
        f"The pairs changed while they were drawn, {DRAWS} times.", "Try again once nobody decides on pairs."
    )


def take(tx: Tx, digest: str) -> tuple[Any, list[PreferencePair], list[PreferencePair]]:
    """A dataset that was locked before: (row, train, held out). Raises InvalidInput without one, or when it has aged:
    no second try would mend that."""
    try:
        row = datasets.named(tx, digest)
        datasets.require_approved(tx, row["id"])
    except (NotFound, Conflict) as error:
        raise InvalidInput(error.message, error.remedy) from None
    return row, datasets.members(tx, row["id"], "train"), datasets.members(tx, row["id"], "held_out")


def limit_contributors(found: Sequence[PreferencePair], share: float) -> list[PreferencePair]:
    """`found` with at most `share` from each contributor, or three equal shares; which ones is decided by their ids."""
    most = allowed(Counter(pair.contributor for pair in found if pair.contributor), share)
    left: Counter[str] = Counter()
    kept = set()
    for pair in sorted(found, key=lambda pair: place(pair.uuid, SPLIT_SEED)):
        left[pair.contributor] += 1
        if not pair.contributor or left[pair.contributor] <= most:
            kept.add(pair.id)
    return [pair for pair in found if pair.id in kept]


def keep_contributors_apart(
    train: Sequence[PreferencePair], held_out: Sequence[PreferencePair]
) -> tuple[list[PreferencePair], list[PreferencePair]] | None:
    """Both sides without a contributor in common, a quarter of them held out; None where that leaves too few pairs.

    A contributor's side follows from the name alone, so that it stays when others come. Pairs without one stay.
    """
    if len({pair.contributor for pair in [*train, *held_out]} - {""}) < MANY_CONTRIBUTORS:
        return None

    def judges(pair: PreferencePair) -> bool:
        return place(pair.contributor, SPLIT_SEED) < HELD_OUT_SHARE

    learning = [pair for pair in train if not pair.contributor or not judges(pair)]
    judging = [pair for pair in held_out if not pair.contributor or judges(pair)]
    enough = len(learning) >= FEWEST_TRAIN and len(judging) >= FEWEST_HELD_OUT
    return (learning, judging) if enough else None


def describe(train: Sequence[PreferencePair], held_out: Sequence[PreferencePair]) -> dict[str, Any]:
    """The facts of a dataset's card: sources, papers, versions, contributors, dates and how it was split."""
    both = [*train, *held_out]
    times = sorted(pair.at for pair in both if pair.at is not None)
    weights = [pair.weight for pair in train if pair.weight != 1]
    return {
        "pairs": {"train": len(train), "held_out": len(held_out)},
        "weighed": {"pairs": len(weights), "mean": sum(weights) / max(len(weights), 1)},
        "prompts": {
            "train": len({normalise(pair.prompt) for pair in train}),
            "held_out": len({normalise(pair.prompt) for pair in held_out}),
        },
        "sources": dict(Counter(pair.source or "unknown" for pair in both)),
        "licences": dict(Counter(pair.licence or "unknown" for pair in both)),
        "versions": dict(Counter(pair.version or "unknown" for pair in both)),
        "consents": dict(Counter(pair.consent or "not said" for pair in both)),
        "sessions": len({pair.session for pair in both if pair.session}),
        "contributors": len({pair.contributor for pair in both if pair.contributor}),
        "from": times[0].isoformat() if times else "",
        "to": times[-1].isoformat() if times else "",
        "split": f"by prompt, seed {SPLIT_SEED}",
    }


def write(folder: Path, name: str, side: Sequence[PreferencePair]) -> None:
    """Write one side as JSON lines that the training child reads; the file appears whole."""
    rows = [
        {
            "id": pair.uuid,
            "prompt": [dict(message) for message in pair.prompt],
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "weight": pair.weight,
        }
        for pair in side
    ]
    write_text(folder, name, "".join(json.dumps(row) + "\n" for row in rows))


def write_text(folder: Path, name: str, text: str) -> None:
    """Write a file that appears whole or not at all."""
    fresh = folder / f".{name}.partial"
    with fresh.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(folder / name)
