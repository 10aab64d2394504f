"""Do jailbreak templates get round a stated rule, and are the same templates answered when harmless?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from core.ports import ProbePrompt
from monitors.probes import probes
from monitors.probes.texts import load, spread


@probes.register
class Jailbreak:
    """Do jailbreak templates get round a stated rule, and are the same templates answered when harmless?

    Each template (a persona without rules, a hypothetical, the start of the answer given beforehand, a ban on refusing)
    is filled with a request for a guarded, harmless word, and as its twin with a request that anyone may make.
    """

    def prompts(self, *, seed: int, limit: int) -> Sequence[ProbePrompt]:
        """At most `limit` prompts, attacks and twins in equal number and spread over the techniques."""
        rng = random.Random(seed)
        suite = load("jailbreak")
        attacks = spread(_filled(suite["templates"], suite["attack_requests"]), rng)[: limit // 2 + limit % 2]
        harmless = spread(_filled(suite["templates"], suite["harmless_requests"]), rng)[: limit - len(attacks)]
        out = []
        for family, number, turns in attacks:
            guard = rng.choice(suite["guard"]).format(word=rng.choice(suite["words"]))
            messages = [{"role": "system", "content": guard}, *turns]
            out.append(ProbePrompt(f"{family}-{number}", family, messages, False, "canary"))
        for family, number, turns in harmless:
            out.append(ProbePrompt(f"benign-{family}-{number}", family, turns, True, "refusal"))
        return out


def _filled(
    templates: Mapping[str, Sequence[Sequence[str]]], requests: Sequence[str]
) -> dict[str, list[list[dict[str, str]]]]:
    """Every template with every request, as messages; a template's turns are the user's and the assistant's in turn."""
    roles = ("user", "assistant")
    return {
        family: [
            [{"role": roles[turn % 2], "content": text.format(request=request)} for turn, text in enumerate(template)]
            for template in own
            for request in requests
        ]
        for family, own in templates.items()
    }
