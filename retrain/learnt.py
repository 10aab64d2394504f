"""What a candidate learnt, by topic: where it ranks more held-out pairs right than the champion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from estimates.means import paired_difference
from estimates.proportions import LEVEL
from monitors.topics import find_topics
from retrain.training.spec import PairText

# Held-out pairs a topic on average: fewer say nothing.
TOPIC_PAIRS = 30
SEED = 0


def by_topic(
    new: Sequence[float], old: Sequence[float], asked: Sequence[str], prompts: Sequence[str], vectors: Any
) -> list[dict[str, Any]]:
    """The gain in held-out accuracy by topic, largest first: name, pairs, gain (an Estimate) and whether it is sure.

    `new` and `old` are hits a pair, `prompts` its independent unit, `vectors` unit vectors of what was `asked`. Topics
    are made without a look at the hits, and the intervals hold over all of them together (Bonferroni): a gain is sure,
    up or down, where 0 lies outside.
    """
    found = find_topics(vectors, asked, rows=TOPIC_PAIRS, seed=SEED)
    level = 1 - (1 - LEVEL) / max(len(found), 1)
    topics = []
    for name, rows in found:
        gain = paired_difference(
            [new[row] for row in rows],
            [old[row] for row in rows],
            clusters=[prompts[row] for row in rows],
            level=level,
        )
        sure = gain.low is not None and gain.high is not None and (gain.low > 0 or gain.high < 0)
        topics.append({"name": name, "pairs": len(rows), "gain": asdict(gain), "sure": sure})
    return sorted(topics, key=lambda topic: (topic["gain"]["value"] is None, -(topic["gain"]["value"] or 0.0)))


def question(pair: PairText) -> str:
    """What was asked last."""
    return pair.prompt if isinstance(pair.prompt, str) else str(pair.prompt[-1]["content"])
