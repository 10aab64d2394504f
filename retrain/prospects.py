"""Will retraining help? What cheap heads over embeddings learn from the pairs at hand, and which labels to collect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.types import Estimate, PreferencePair
from estimates.learning import Curve, Gains, crossed_mean, deal, gains, hits, outlook, trace
from estimates.means import effective_units
from estimates.proportions import MINIMUM, needed
from monitors.topics import find_topics
from retrain.pairs.customs.lot import Lot

# Newer pairs say more of what people want now, and so many are embedded in minutes on two cores.
MOST = 2_000
# A smaller gain in held-out accuracy is not worth a run.
WORTH = 0.02
# Pairs a topic on average, and how many topics are named for labelling.
TOPIC_PAIRS, NAMED = 40, 5
# How well a topic's accuracy should be known before its labels count as enough.
_TOPIC_ERROR = 0.1
SEED = 0

Embed = Callable[[Sequence[str]], Any]


def foresee(
    pairs: Sequence[PreferencePair],
    embed: Embed,
    *,
    known: Collection[int] = (),
    seed: int = SEED,
    report: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """What retraining on `pairs` (the newest MOST) may gain in held-out accuracy, as JSON without captured text.

    `embed` gives unit vectors of texts. `known` are the keys of the pairs that what serves was trained on: the gain is
    that of heads on all pairs over heads on those, over a coin without any. Heads judge pairs of prompts, and of
    contributors where there are enough, that they did not see. Only the names of topics come from what was said.
    """
    import numpy as np

    told = list(pairs)[-MOST:]
    asked = [_asked(pair) for pair in told]
    better = embed([pair.chosen for pair in told])
    report(0.4)
    # Answers alone: beside them the prompt is the same on both sides, and takes room that the encoder reads.
    differences = np.asarray(better - embed([pair.rejected for pair in told]), float)
    report(0.8)
    groups = Lot(told, seed=seed).groups if told else np.zeros(0, np.int64)
    people, apart = number_contributors(told)
    units: list[list[int]] = [groups.tolist(), people.tolist()] if apart else [groups.tolist()]
    dealt = deal(groups, people, seed=seed)
    curve = trace(differences, dealt, np.array([pair.id in known for pair in told], bool))
    found = gains(curve, units)
    word, more = outlook(found.now, worth=WORTH)
    topics = list_topics(embed(asked), asked, curve, groups.tolist(), seed=seed)
    report(1.0)
    return {
        "outlook": word,
        "sentence": say(word, found, more),
        "needed": more,
        "pairs": len(told),
        "prompts": len(set(groups.tolist())),
        "known": sum(pair.id in known for pair in told),
        "contributors_apart": apart,
        "gain": asdict(found.now),
        "twice": asdict(found.twice),
        "curve": describe(curve, units),
        "topics": topics,
        "label": [] if word == "likely to help" else advise(topics),
    }


def number_contributors(pairs: Sequence[PreferencePair]) -> tuple[Any, bool]:
    """A number for each pair's contributor and whether heads can be kept apart from them; -1 for all where not.

    Each pair without a name counts as a contributor that it shares with no other, and is nobody's reason to keep apart.
    """
    import numpy as np

    names = {name: number for number, name in enumerate(sorted({pair.contributor for pair in pairs} - {""}))}
    who = np.array([names.get(pair.contributor, -1) for pair in pairs], np.int64)
    if effective_units(np.bincount(who[who >= 0])) < MINIMUM or (who < 0).any():
        return np.full(len(pairs), -1, np.int64), False
    return who, True


def describe(curve: Curve, units: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """The points of the curve: how many pairs a head learnt from in the mean, and its held-out accuracy."""
    points = []
    for learnt, margins in zip(curve.learnt, curve.margins, strict=True):
        above = crossed_mean(hits(margins) - 0.5, units, reach=0.5, overlap=float(learnt) / max(len(margins), 1))
        points.append({"learnt": round(float(learnt)), "accuracy": asdict(_raised(above))})
    return points


def list_topics(
    vectors: Any, texts: Sequence[str], curve: Curve, groups: Sequence[int], *, seed: int
) -> list[dict[str, Any]]:
    """Topics of the prompts, those first where the heads doubt most: pairs, share ranked right, and mean doubt.

    Doubt is the chance that a label is not what the head says, by its own reckoning: 0.5 where it knows nothing.
    """
    import numpy as np
    from scipy.special import expit

    margins = curve.margins[-1]
    doubt = expit(-np.abs(margins))
    out = []
    for name, rows in find_topics(vectors, texts, rows=TOPIC_PAIRS, seed=seed):
        own = [groups[row] for row in rows]
        right = crossed_mean(
            hits(margins[rows]) - 0.5, [own], reach=0.5, overlap=float(curve.learnt[-1]) / len(margins)
        )
        wanted = needed(_TOPIC_ERROR, n=len(rows))
        topic = {"name": name, "pairs": len(rows), "right": asdict(_raised(right)), "doubt": float(doubt[rows].mean())}
        out.append({**topic, "wanted": wanted})
    return sorted(out, key=lambda topic: -topic["doubt"])


def advise(topics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which labels to collect: a sentence for each of the first topics that lack pairs, in their order."""
    return [
        f"{topic['name']}: {topic['pairs']} pairs, of whose labels cheap models expect to guess "
        f"{100 * topic['doubt']:.0f} % wrong (a coin: 50 %); about {topic['wanted']} more would tell."
        for topic in topics
        if topic["wanted"]
    ][:NAMED]


def say(word: str, found: Gains, more: int) -> str:
    """The outlook in a sentence with its figures."""
    if found.now.value is None:
        return f"Not enough pairs: {more} more needed."
    told = f"cheap models on these pairs gain {_points(found.now)} of held-out accuracy"
    later = f"with twice as many {_points(found.twice)}"
    if word == "likely to help":
        return f"Likely to help: {told}, {later}."
    if word == "unlikely":
        return f"Unlikely to help: {told}, {later}."
    return f"Not enough pairs: {told}; about {more} more needed to tell."


def _points(estimate: Estimate) -> str:
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    value, low, high = (100 * end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:z.0f} points [{low:z.0f}, {high:z.0f}]"


def _raised(above: Estimate) -> Estimate:
    """An estimate of accuracy - 1/2 as one of accuracy."""
    if above.value is None or above.low is None or above.high is None:
        return above
    return Estimate(above.value + 0.5, above.low + 0.5, above.high + 0.5, above.n, above.method)


def _asked(pair: PreferencePair) -> str:
    return str(pair.prompt[-1].get("content", "")) if pair.prompt else ""
