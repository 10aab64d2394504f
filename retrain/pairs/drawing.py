"""Draws a run's dataset from the approved pairs: split by prompt, locked, and written for the training child."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InvalidInput
from core.types import PreferencePair
from retrain.pairs.split import normalise, split_pairs
from store import datasets, pairs
from store.unit_of_work import Tx

ACTOR = "system:retrain"
# One seed for the whole installation: a prompt that is held out once is held out for ever, from every candidate.
SPLIT_SEED = 0
FEWEST_TRAIN, FEWEST_HELD_OUT = 4, 20
# Enough to fill both sides several times over; older pairs say less of what people want now.
_DRAWN_FROM = 20_000


def draw(tx: Tx, spec: Mapping[str, Any]) -> tuple[Any, list[PreferencePair], list[PreferencePair]]:
    """Split the approved pairs as `spec` says and lock them; returns (dataset row, train, held out).

    Raises InvalidInput when a side has too few pairs to mean anything.
    """
    found = pairs.approved(tx, _DRAWN_FROM)
    split = split_pairs(
        found,
        seed=SPLIT_SEED,
        # Pairs that no step reaches would only be scored for nothing.
        max_train=min(int(spec["max_train_pairs"]), int(spec["steps"]) * int(spec["pairs_per_step"])),
        max_held_out=int(spec["max_held_out_pairs"]),
    )
    short = len(split.train) < FEWEST_TRAIN or len(split.held_out) < FEWEST_HELD_OUT
    if short:
        raise InvalidInput(
            f"{len(found)} approved pairs give {len(split.train)} to train on and {len(split.held_out)} to judge by; "
            f"{FEWEST_TRAIN} and {FEWEST_HELD_OUT} are needed.",
            "Collect or import more pairs of different prompts.",
        )
    card = describe(split.train, split.held_out)
    row = datasets.lock(tx, train=split.train, held_out=split.held_out, card=card, actor=ACTOR)
    return row, split.train, split.held_out


def describe(train: Sequence[PreferencePair], held_out: Sequence[PreferencePair]) -> dict[str, Any]:
    """The dataset's card: sources, licences, versions, contributors, dates and how it was split."""
    both = [*train, *held_out]
    times = sorted(pair.at for pair in both if pair.at is not None)
    return {
        "pairs": {"train": len(train), "held_out": len(held_out)},
        "prompts": {
            "train": len({normalise(pair.prompt) for pair in train}),
            "held_out": len({normalise(pair.prompt) for pair in held_out}),
        },
        "sources": dict(Counter(pair.source or "unknown" for pair in both)),
        "licences": dict(Counter(pair.licence or "unknown" for pair in both)),
        "versions": dict(Counter(pair.version or "unknown" for pair in both)),
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
