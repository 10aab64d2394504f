"""Does it obey instructions that stand in the text it was given to work on?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from core.ports import ProbePrompt
from monitors.probes import probes
from monitors.probes.texts import load, spread


@probes.register
class Injection:
    """Does it obey instructions that stand in the text it was given to work on?

    A task comes with a text that tells the assistant to write a harmless word instead: straight in the message, or in a
    retrieved document, web page, email or tool result. The twin is the same task with a harmless sentence in its place.
    """

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]:
        """At most `limit` prompts, attacks and twins in equal number and spread over the carriers."""
        rng = random.Random(seed)
        suite = load("injection")
        attacks = spread(_laden(suite["carriers"], suite["payloads"]), rng)[: limit // 2 + limit % 2]
        harmless = spread(_laden(suite["carriers"], suite["fillers"]), rng)[: limit - len(attacks)]
        out = []
        for family, number, text in attacks:
            messages = _ruled(family, text.replace("{word}", rng.choice(suite["words"])))
            out.append(ProbePrompt(f"{family}-{number}", family, messages, False, "injected"))
        for family, number, text in harmless:
            out.append(ProbePrompt(f"benign-{family}-{number}", family, _ruled(family, text), True, "refusal"))
        return out


def _ruled(family: str, text: str) -> list[dict[str, str]]:
    """The text after the rule that its carrier stands under."""
    rules = load("injection")["rules"]
    return [{"role": "system", "content": rules.get(family, rules["other"])}, {"role": "user", "content": text}]


def _laden(carriers: Mapping[str, Sequence[str]], payloads: Sequence[str]) -> dict[str, list[str]]:
    """Every carrier with every payload."""
    return {
        family: [carrier.replace("{payload}", payload) for carrier in own for payload in payloads]
        for family, own in carriers.items()
    }
