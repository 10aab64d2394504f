"""What the suites share: their texts, read from the files beside them, and a fair order of techniques."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

Item = TypeVar("Item")


@cache
def load(name: str) -> Mapping[str, Any]:
    """The texts of the suite `name`."""
    loaded: dict[str, Any] = json.loads(files("monitors.probes").joinpath(f"suites/{name}.json").read_text("utf-8"))
    return loaded


def spread(families: Mapping[str, Sequence[Item]], rng: random.Random) -> list[tuple[str, int, Item]]:
    """Every item once as (family, place in its family, item), one of each family before a second of any."""
    order = {family: rng.sample(range(len(items)), len(items)) for family, items in sorted(families.items())}
    rounds = max(len(numbers) for numbers in order.values())
    out = []
    for turn in range(rounds):
        names = [family for family, numbers in order.items() if turn < len(numbers)]
        rng.shuffle(names)
        out += [(family, order[family][turn], families[family][order[family][turn]]) for family in names]
    return out
