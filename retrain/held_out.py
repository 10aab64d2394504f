"""Held-out pairs as the gate reads them: what each version made of a pair, and whose preference it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import expm1
from pathlib import Path
from typing import Any

from scipy.special import expit

from core.types import Estimate, PreferencePair
from estimates.crossed import crossed_difference, crossed_ratio
from estimates.means import paired_difference
from estimates.proportions import LEVEL
from retrain.pairs.split import normalise

# The spread between fewer people cannot be told (Gelman and Hill, Data Analysis Using Regression, 2007, 12.9).
FEWEST_CONTRIBUTORS = 5
# The exponential of more is no number any longer.
LARGEST = 700.0


@dataclass(frozen=True, slots=True)
class Scored:
    """What one version made of a pair: the hit (1, 0, or one half at a tie), the reward margin against the fixed base
    in nats, and the log-probability of the chosen answer."""

    hit: float
    margin: float
    chosen: float


@dataclass(frozen=True, slots=True)
class HeldOutPair:
    """A pair that neither version trained on. `contributor` is empty where none was named, `session` where there is
    none."""

    id: str
    prompt: str
    contributor: str
    tokens: int
    candidate: Scored
    champion: Scored
    session: str = ""


def read_scored(path: Path, members: Sequence[PreferencePair]) -> list[HeldOutPair]:
    """The pairs of evaluation_pairs.jsonl at `path`, each with the prompt and contributor of its member."""
    known = {pair.uuid: pair for pair in members}
    out = []
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        base, member = row["base"], known[row["id"]]
        out.append(
            HeldOutPair(
                id=row["id"],
                prompt=normalise(member.prompt),
                contributor=member.contributor,
                tokens=int(base["chosen_tokens"]),
                candidate=_scored(row["candidate"], base),
                champion=_scored(row["champion"], base),
                session=member.session,
            )
        )
    return out


def count_contributors(pairs: Sequence[HeldOutPair]) -> int:
    """How many people are named."""
    return len({pair.contributor for pair in pairs} - {""})


def accuracy(pairs: Sequence[HeldOutPair], level: float = LEVEL) -> Estimate:
    """By how much more often the candidate ranks a pair right than the champion."""
    new, old = [pair.candidate.hit for pair in pairs], [pair.champion.hit for pair in pairs]
    prompts, contributors = [pair.prompt for pair in pairs], sources(pairs)
    if contributors is None:
        return paired_difference(new, old, clusters=prompts, level=level)
    return crossed_difference(new, old, prompts, contributors, level=level)


def brier(pairs: Sequence[HeldOutPair], beta: float, level: float = LEVEL) -> Estimate:
    """By how much the Brier score of the candidate's stated preferences, sigmoid(beta * margin), is the higher one."""

    def rise(pair: HeldOutPair) -> float:
        new, old = ((1 - expit(beta * version.margin)) ** 2 for version in (pair.candidate, pair.champion))
        return float(new - old)

    return _ratio(pairs, rise, lambda pair: 1.0, level)


def perplexity(pairs: Sequence[HeldOutPair], level: float = LEVEL) -> Estimate:
    """The share by which perplexity on the chosen answers is the higher one for the candidate."""
    return as_share(
        _ratio(pairs, lambda pair: pair.champion.chosen - pair.candidate.chosen, lambda pair: pair.tokens, level)
    )


def as_share(log_ratio: Estimate) -> Estimate:
    """A log-ratio with its interval as the share by which the one is above the other."""
    if log_ratio.value is None or log_ratio.low is None or log_ratio.high is None:
        return log_ratio
    value, low, high = (expm1(min(end, LARGEST)) for end in (log_ratio.value, log_ratio.low, log_ratio.high))
    return replace(log_ratio, value=value, low=low, high=high)


def _ratio(
    pairs: Sequence[HeldOutPair],
    total: Callable[[HeldOutPair], float],
    size: Callable[[HeldOutPair], float],
    level: float,
) -> Estimate:
    prompts = [pair.prompt for pair in pairs]
    return crossed_ratio(
        [total(pair) for pair in pairs], [size(pair) for pair in pairs], prompts, sources(pairs), level=level
    )


def sources(pairs: Sequence[HeldOutPair]) -> list[str] | None:
    """Whose preference each pair is: of a person, else of whoever had the conversation, else its own; None where the
    known are too few."""
    known = [pair.contributor or (f"session {pair.session}" if pair.session else "") for pair in pairs]
    if len(set(known) - {""}) < FEWEST_CONTRIBUTORS:
        return None
    return [one or f"pair {pair.id}" for one, pair in zip(known, pairs, strict=True)]


def _scored(told: Mapping[str, Any], base: Mapping[str, Any]) -> Scored:
    margin = (told["chosen"] - base["chosen"]) - (told["rejected"] - base["rejected"])
    return Scored(float(told["reward_hit"]), margin, float(told["chosen"]))
