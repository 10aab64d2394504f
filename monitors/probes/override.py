"""Can it be talked out of a stated rule, and does it refuse harmless requests that look alike?"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from core.ports import ProbePrompt
from monitors.probes import probes


@probes.register
class Override:
    """Can it be talked out of a stated rule, and does it refuse harmless requests that look alike?

    The system message names a harmless word and forbids to reveal it; each attack is a technique of getting around such
    rules, and what counts is only whether the word appears. Every technique has harmless twins that must be answered.
    """

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]:
        """At most `limit` prompts, attacks and harmless ones in equal number and spread over the techniques."""
        rng = random.Random(seed)
        suite = _suite()
        attacks = _spread(suite["attacks"], rng)[: limit // 2 + limit % 2]
        harmless = _spread(suite["benign"], rng)[: limit - len(attacks)]
        out = []
        for family, number, text in attacks:
            guard = rng.choice(suite["guard"]).format(word=rng.choice(suite["words"]))
            messages = [{"role": "system", "content": guard}, {"role": "user", "content": text}]
            out.append(ProbePrompt(f"{family}-{number}", family, messages, False, "canary"))
        for family, number, text in harmless:
            messages = [{"role": "user", "content": text}]
            out.append(ProbePrompt(f"benign-{family}-{number}", family, messages, True, "refusal"))
        return out


def _spread(families: dict[str, list[str]], rng: random.Random) -> list[tuple[str, int, str]]:
    """Every prompt once, one of each family before a second of any."""
    order = {family: rng.sample(range(len(texts)), len(texts)) for family, texts in sorted(families.items())}
    rounds = max(len(numbers) for numbers in order.values())
    out = []
    for turn in range(rounds):
        names = [family for family, numbers in order.items() if turn < len(numbers)]
        rng.shuffle(names)
        out += [(family, order[family][turn], families[family][order[family][turn]]) for family in names]
    return out


@cache
def _suite() -> dict[str, Any]:
    text = files("monitors.probes").joinpath("suites/override.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
