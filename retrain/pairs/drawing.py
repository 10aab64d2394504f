"""Draws a run's dataset from the approved pairs: split by prompt, locked, and written for the training child."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
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
FEWEST_TRAIN, FEWEST_HELD_OUT = 4, 20
# With so many contributors some can be left to judge by alone.
MANY_CONTRIBUTORS = 20


def draw(
    tx: Tx, spec: Mapping[str, Any], cleared: Cleared | None = None, *, share: float = CAP, actor: str = ACTOR
) -> tuple[Any, list[PreferencePair], list[PreferencePair]]:
    """Hold what customs found, split the rest as `spec` says and lock it; returns (dataset row, train, held out).

    `share` is what one contributor may have of it. A run that learns from thumbs takes the pairs held out, to judge
    by, and none to train on. Raises InvalidInput when a side has too few pairs to mean anything.
    """
    before = pairs.counts(tx)
    found = hold(tx, cleared) if cleared is not None else pairs.approved(tx, MOST)
    capped = limit_contributors(found, share)
    # Pairs that no step reaches would only be scored for nothing.
    most_train = min(int(spec["max_train_pairs"]), int(spec["steps"]) * int(spec["pairs_per_step"]))
    most_held_out = int(spec["max_held_out_pairs"])
    split = split_pairs(capped, seed=SPLIT_SEED)
    clusters = cleared.clusters if cleared is not None else {}
    held_out = split.held_out
    train = without(split.train, held_out, lambda pair: clusters.get(pair.id))
    apart = keep_contributors_apart(train, held_out)
    if apart is not None:
        train, held_out = apart
    train, held_out = train[:most_train], held_out[:most_held_out]
    if cleared is not None:
        train = weigh(train, cleared, pairs.released(tx))
    if len(train) < FEWEST_TRAIN or len(held_out) < FEWEST_HELD_OUT:
        raise InvalidInput(
            f"{len(found)} approved pairs give {len(train)} to train on and {len(held_out)} to judge by; "
            f"{FEWEST_TRAIN} and {FEWEST_HELD_OUT} are needed.",
            "Collect or import more pairs of different prompts.",
        )
    if spec.get("trainer") == "kto":
        train = []
    card = describe(train, held_out)
    after = pairs.counts(tx)
    card["funnel"] = {
        "in the store": sum(after.values()),
        "quarantined before": before["quarantined"],
        "quarantined by customs": after["quarantined"] - before["quarantined"],
        "rejected": after["rejected"],
        "approved": after["approved"],
        "within a contributor's share": len(capped),
        "drawn": len(train) + len(held_out),
    }
    card["customs"] = cleared.card if cleared is not None else {}
    card["contributors_apart"] = apart is not None
    card["text"] = write_card(card)
    row = datasets.lock(tx, train=train, held_out=held_out, card=card, actor=actor)
    return row, train, held_out


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
