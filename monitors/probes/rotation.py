"""Which prompts one pass asks: those that were asked longest ago, a fair share of each suite and of its twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from core.ports import ProbePrompt
from monitors.probes import probes

WHOLE = 10_000


def catalogue(suites: Sequence[str], *, seed: int) -> list[ProbePrompt]:
    """Every prompt of the suites, under the id SUITE:PROMPT. Ids do not depend on the seed; wordings may."""
    return [
        replace(prompt, id=f"{name}:{prompt.id}", against=f"{name}:{prompt.against}" if prompt.against else "")
        for name in suites
        for prompt in probes.get(name)().prompts(seed=seed, limit=WHOLE)
    ]


def suite_of(id: str) -> str:
    """The suite of a prompt of the catalogue."""
    return id.partition(":")[0]


def share(prompts: Sequence[ProbePrompt], asked: Sequence[str], limit: int) -> list[ProbePrompt]:
    """About `limit` prompts, in turn from each suite's attacks and twins: those not asked yet, then the oldest.

    `asked` are the ids asked before, oldest first. A prompt whose answer must agree with another's brings that one
    along, so that one more may come than asked for.
    """
    place = {id: number for number, id in enumerate(asked)}
    queues: dict[tuple[str, bool], list[ProbePrompt]] = {}
    for prompt in sorted(prompts, key=lambda prompt: place.get(prompt.id, -1)):
        queues.setdefault((suite_of(prompt.id), prompt.benign), []).append(prompt)
    by_id = {prompt.id: prompt for prompt in prompts}
    chosen: dict[str, ProbePrompt] = {}
    # The queue that waited longest begins, so that a small pass does not always end before the same ones.
    order = sorted(queues, key=lambda key: (place.get(queues[key][0].id, -1), key))
    for turn in zip_longest(*(queues[key] for key in order)):
        for prompt in turn:
            if len(chosen) >= limit:
                return list(chosen.values())
            if prompt is not None:
                chosen[prompt.id] = prompt
                if prompt.against:
                    chosen[prompt.against] = by_id[prompt.against]
    return list(chosen.values())


def repeat(prompts: Sequence[ProbePrompt], times: int) -> list[ProbePrompt]:
    """The prompts, attacks `times` over when that is more than once. Twins and compared answers are asked once."""
    out = []
    for prompt in prompts:
        single = times <= 1 or prompt.benign or prompt.against
        out += [prompt] if single else [replace(prompt, attempt=number) for number in range(1, times + 1)]
    return out
