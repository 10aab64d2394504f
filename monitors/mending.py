"""What would mend a shift: the preference pairs held for a topic that grew, and what to label where they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from core.types import Inference, PreferencePair
from monitors.effects import Effects
from store import alerts, feedback, pairs
from store import inferences as exchanges

TOPICS = 3
HELD = 2000
# Most exchanges named for labelling in one topic: an afternoon's work.
LISTED = 40
NEAREST = 5
# A pair is near where it is no farther from the topic than nine in ten of its own prompts are from each other.
LEVEL = 0.1


@dataclass(frozen=True, slots=True)
class Mending:
    """For one topic: how many pairs a run should hold, those near it (nearest first), and what to label, in order."""

    topic: str
    wanted: int
    near: tuple[int, ...]
    label: tuple[int, ...]
    unlabelled: int


def mend(
    name: str, prompts: Any, held: Any, *, share: float, run: int, free: Sequence[bool], first: Sequence[int] = ()
) -> Mending:
    """What would let a training run of `run` pairs hold the topic in the `share` that it has in the traffic now.

    `prompts` are the unit vectors (n, d) of the topic's distinct prompts, `held` those (m, d) of the approved pairs;
    the result names rows of both by index. Only prompts that are `free`, without a choice or a correction yet, are to
    be labelled: those in `first` (the rows most responsible), then each time the one farthest from all that is
    labelled or held (greedy k-center: Gonzalez 1985; for choosing labels: Sener and Savarese 2018).
    """
    import numpy as np

    wanted = ceil(share * run)
    near = _near(prompts, held)
    open_ones = np.flatnonzero(free)
    missing = min(max(wanted - len(near), 0), LISTED, len(open_ones))
    chosen = [index for index in first if free[index]][:missing]
    done = np.concatenate([prompts[~np.asarray(free, bool)], held[near], prompts[chosen]])
    if missing and not len(done):
        chosen = [int(open_ones[(prompts[open_ones] @ prompts.mean(axis=0)).argmax()])]
        done = prompts[chosen]
    nearest = (prompts @ done.T).max(axis=1) if missing else np.zeros(len(prompts))
    while len(chosen) < missing:
        left = np.setdiff1d(open_ones, chosen)
        chosen.append(int(left[nearest[left].argmin()]))
        nearest = np.maximum(nearest, prompts @ prompts[chosen[-1]])
    return Mending(name, wanted, tuple(near), tuple(chosen), len(open_ones))


def _near(prompts: Any, held: Any) -> list[int]:
    """The rows of `held` near the topic, nearest first: their conformal p-value among its prompts is above LEVEL.

    A prompt's score is its cosine to the nearest other prompt of the topic (Vovk, Gammerman and Shafer 2005); of a
    topic with a single prompt only the same prompt is near.
    """
    import numpy as np

    if not len(held) or not len(prompts):
        return []
    among = prompts @ prompts.T
    np.fill_diagonal(among, -1.0)
    own = np.sort(among.max(axis=1)) if len(prompts) > 1 else np.ones(1, np.float32)
    limit = float(own[max(int(LEVEL * (len(own) + 1)) - 1, 0)])
    score = (held @ prompts.T).max(axis=1)
    # Rounding must not tell the same text from itself.
    return [int(index) for index in np.argsort(-score, kind="stable") if score[index] >= limit - 1e-5]


def sentence(found: Mending, *, run: int) -> str:
    """The finding in plain words: how many pairs are there of those wanted, and what to do."""
    have = len(found.near)
    if have >= found.wanted:
        return f"{have} pairs are held for this topic; {found.wanted} of {run} would match its share of the traffic."
    told = f"{have} of {found.wanted} pairs wanted for this topic"
    lack = found.wanted - have
    if not found.label:
        return f"{told}; no exchange of it is left to label: {lack} more must come from new traffic or an import."
    if len(found.label) == lack:
        return f"{told}; label these {lack}."
    more = "then look again" if found.unlabelled > len(found.label) else "more must come from new traffic"
    return f"{told}; label these {len(found.label)} first, {more}."


def attach(alert: str, effects: Effects) -> int:
    """Put into the alert's evidence what would mend each topic that grew; returns how many topics that is."""
    with effects.store.read(effects.clock()) as tx:
        why = alerts.get(tx, alert)["why"]
        grown = [topic for topic in why.get("topics", []) if topic.get("inferences")][:TOPICS]
        if not grown:
            return 0
        held = [pair for pair in pairs.approved(tx, HELD) if _asked(pair).strip()]
        rows = {row.id: row for topic in grown for row in exchanges.by_ids(tx, topic["inferences"])}
        preferred = feedback.preferred(tx, list(rows))
    responsible = [int(row["inference"]) for row in why.get("rows", [])]
    run = effects.settings.retrain.max_train_pairs
    told = []
    for topic in grown:
        members = _distinct([rows[id] for id in topic["inferences"] if id in rows])
        if not members:
            continue
        vectors = effects.embed([row.prompt for row in members] + [_asked(pair) for pair in held])
        found = mend(
            str(topic["name"]),
            vectors[: len(members)],
            vectors[len(members) :],
            share=float(topic["share_now"]),
            run=run,
            free=[row.id not in preferred and bool(row.response.strip()) for row in members],
            first=[place for place, row in enumerate(members) if row.id in responsible],
        )
        told.append(_as_json(found, members, held, run))
    if told:
        with effects.store.write(effects.clock()) as tx:
            alerts.attach(tx, alert, {"mending": told})
    return len(told)


def _as_json(
    found: Mending, members: Sequence[Inference], held: Sequence[PreferencePair], run: int
) -> Mapping[str, Any]:
    """The finding as the alert keeps it: names of exchanges and pairs, no captured text but the topic's name."""
    return {
        "topic": found.topic,
        "sentence": sentence(found, run=run),
        "wanted": found.wanted,
        "held": len(found.near),
        "pairs": [held[index].uuid for index in found.near[:NEAREST]],
        "label": [members[index].uuid for index in found.label],
        "unlabelled": found.unlabelled,
    }


def _asked(pair: PreferencePair) -> str:
    return str(pair.prompt[-1].get("content", "")) if pair.prompt else ""


def _distinct(rows: Sequence[Inference]) -> list[Inference]:
    """The first exchange of each prompt: one label tells of all that asked the same."""
    return list({row.prompt: row for row in reversed(rows) if row.prompt.strip()}.values())[::-1]
