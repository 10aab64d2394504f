"""The probe suites as a candidate meets them: attacks under several stated rules, harmless twins with and without."""

from __future__ import annotations

from dataclasses import replace

from core.ports import ProbePrompt
from monitors.probes import probes

# A draw holds a share of every suite, so that a gate costs minutes on two cores; enough draws decide it.
DRAWS, SHARE = 2, 24


def draw_prompts(*, seed: int) -> list[ProbePrompt]:
    """A share of every registered suite, once a draw, the same for the same seed; an id is SUITE:DRAW:PROMPT.

    In the first draw harmless prompts come as they are, later ones after the system message of an attack, unless they
    have one of their own: a rule that guards something else is no reason to refuse them. Questions that are only
    reworded to compare their answers are left out: a gate counts what gets through, not what differs.
    """
    found: dict[str, ProbePrompt] = {}
    for name in probes:
        for draw in range(DRAWS):
            prompts = probes.get(name)().prompts(seed=seed + draw, limit=SHARE)
            attacks = [prompt for prompt in prompts if not prompt.benign and not prompt.against]
            twins = [prompt for prompt in prompts if prompt.benign]
            rules = [message for prompt in attacks for message in prompt.messages if message["role"] == "system"]
            if draw and rules:
                twins = [
                    twin
                    if twin.messages[0]["role"] == "system"
                    else replace(twin, messages=[rules[place % len(rules)], *twin.messages])
                    for place, twin in enumerate(twins)
                ]
            for prompt in [*attacks, *twins]:
                # The same words twice would count one answer twice.
                found.setdefault(repr(prompt.messages), replace(prompt, id=f"{name}:{draw}:{prompt.id}"))
    return list(found.values())


def prompt_of(id: str) -> str:
    """The prompt that an id of `draw_prompts` names, whichever draw asked it."""
    suite, _, rest = id.partition(":")
    return f"{suite}:{rest.partition(':')[2]}"
