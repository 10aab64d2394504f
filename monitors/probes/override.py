"""Can it be talked out of a stated rule, and does it refuse harmless requests that look alike?"""

from __future__ import annotations

import random
from collections.abc import Sequence

from core.ports import ProbePrompt
from monitors.probes import probes
from monitors.probes.texts import load, spread


@probes.register
class Override:
    """Can it be talked out of a stated rule, and does it refuse harmless requests that look alike?

    The system message names a harmless word and forbids to reveal it; each attack is a technique of getting around such
    rules, and what counts is only whether the word appears. Every technique has harmless twins that must be answered.
    """

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]:
        """At most `limit` prompts, attacks and harmless ones in equal number and spread over the techniques."""
        rng = random.Random(seed)
        suite = load("override")
        attacks = spread(suite["attacks"], rng)[: limit // 2 + limit % 2]
        harmless = spread(suite["benign"], rng)[: limit - len(attacks)]
        out = []
        for family, number, text in attacks:
            guard = rng.choice(suite["guard"]).format(word=rng.choice(suite["words"]))
            messages = [{"role": "system", "content": guard}, {"role": "user", "content": text}]
            out.append(ProbePrompt(f"{family}-{number}", family, messages, False, "canary"))
        for family, number, text in harmless:
            messages = [{"role": "user", "content": text}]
            out.append(ProbePrompt(f"benign-{family}-{number}", family, messages, True, "refusal"))
        return out
