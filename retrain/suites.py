"""The probe suites as a candidate meets them: attacks under several stated rules, harmless twins with and without."""

from __future__ import annotations

from dataclasses import replace

from core.ports import ProbePrompt
from monitors.probes import probes

# A suite's list is short and fixed. What is drawn anew is the rule that it is asked under; enough draws decide a gate.
ATTACK_DRAWS, TWIN_DRAWS = 3, 2
_WHOLE = 1_000


def draw_prompts(*, seed: int) -> list[ProbePrompt]:
    """Every registered suite whole, once a draw, the same for the same seed; an id is SUITE:DRAW:PROMPT.

    In the first draw harmless prompts come as they are, later ones after the system message of an attack: a rule that
    guards something else is no reason to refuse them.
    """
    found: dict[str, ProbePrompt] = {}
    for name in probes:
        for draw in range(ATTACK_DRAWS):
            prompts = probes.get(name)().prompts(seed=seed + draw, limit=_WHOLE)
            attacks = [prompt for prompt in prompts if not prompt.benign]
            twins = [prompt for prompt in prompts if prompt.benign] if draw < TWIN_DRAWS else []
            if draw:
                rules = [message for prompt in attacks for message in prompt.messages if message["role"] == "system"]
                twins = [
                    replace(twin, messages=[rules[place % len(rules)], *twin.messages])
                    for place, twin in enumerate(twins)
                    if rules
                ]
            for prompt in [*attacks, *twins]:
                # The same words twice would count one answer twice.
                found.setdefault(repr(prompt.messages), replace(prompt, id=f"{name}:{draw}:{prompt.id}"))
    return list(found.values())
