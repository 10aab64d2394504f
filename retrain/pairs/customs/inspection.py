"""Runs the checks over a lot and puts their findings together: a score, flags, reasons and a decision for each pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from core.types import PreferencePair
from retrain.pairs.customs.agreement import Agreement
from retrain.pairs.customs.bursts import Bursts
from retrain.pairs.customs.contamination import Contamination
from retrain.pairs.customs.contradictions import Contradictions
from retrain.pairs.customs.duplicates import Duplicates
from retrain.pairs.customs.findings import Check, Finding, Result
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.papers import Papers
from retrain.pairs.customs.personal import Personal
from retrain.pairs.customs.reliability import Reliability
from retrain.pairs.customs.shape import Shape
from retrain.pairs.customs.shares import CAP, Shares
from retrain.pairs.customs.style import Style
from retrain.pairs.customs.topics import Embed
from retrain.pairs.customs.triggers import Triggers
from retrain.pairs.customs.turned import FLAG as TURNED
from retrain.pairs.customs.turned import Turned

# What share of labels is taken to be turned round before anything is known of a pair.
TURNED_BEFORE = 0.02
_DISAGREES = 0.1

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What customs say of one pair. `score` in [0, 1]: 1 minus the product of what each finding leaves of innocence."""

    id: str
    score: float
    flags: tuple[str, ...]
    reasons: tuple[str, ...]
    quarantined: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """The verdicts in the pairs' order, each check's result by its name, and each pair's cluster of prompts.

    `right`: for each pair the probability that its label is right; 1 where nothing tells.
    """

    verdicts: Sequence[Verdict]
    results: Mapping[str, Result]
    clusters: Sequence[int]
    right: Sequence[float] = ()

    def of(self, places: Sequence[int]) -> Inspection:
        """What it says of some of the pairs; results stay those of the whole lot."""
        return Inspection(
            [self.verdicts[place] for place in places],
            self.results,
            [self.clusters[place] for place in places],
            [self.right[place] for place in places],
        )

    def summary(self) -> dict[str, Any]:
        """The funnel, how many pairs each flag is on, what was noted, and which checks ran or why not."""
        held = sum(verdict.quarantined for verdict in self.verdicts)
        flags = Counter(flag for verdict in self.verdicts for flag in verdict.flags)
        repeated = sum(bool({"duplicate", "near_duplicate"} & {*verdict.flags}) for verdict in self.verdicts)
        return {
            "pairs": len(self.verdicts),
            "repeated": repeated,
            "quarantined": held,
            "passed": len(self.verdicts) - held,
            "flags": dict(sorted(flags.items())),
            "notes": [note for result in self.results.values() for note in result.notes],
            "ran": [name for name, result in self.results.items() if not result.skipped],
            "not_run": {name: result.skipped for name, result in self.results.items() if result.skipped},
            "figures": {name: dict(result.figures) for name, result in self.results.items() if result.figures},
        }


def checks(
    against: dict[str, list[str]], *, cap: float = CAP, papers: bool = False, held: Collection[int] = frozenset()
) -> list[Check]:
    """Every check, the quick ones first. `against` are texts that judge models; `papers`: a licence is required; `held`
    are the keys of pairs that do not train whatever is found."""
    return [
        Shape(),
        Papers(required=papers),
        Personal(),
        Duplicates(held),
        Contradictions(),
        Bursts(),
        Shares(cap),
        Contamination(against),
        Style(),
        Agreement(),
        Turned(),
        Reliability(),
        Triggers(),
    ]


def inspect_lot(
    pairs: Sequence[PreferencePair],
    wanted: Sequence[Check],
    *,
    seed: int = 0,
    embed: Embed | None = None,
    told: Mapping[str, NDArray[np.float64]] | None = None,
    progress: Report = lambda share, note: None,
) -> Inspection:
    """What `wanted` find in `pairs`. `progress` hears the share done and what is next; `embed` tells which prompts mean
    alike (without it their words do), `told` what the chat model says of the labels."""
    lot = Lot(pairs, seed=seed, embed=embed, told=told)
    results: dict[str, Result] = {}
    for number, check in enumerate(wanted):
        progress(number / len(wanted), check.name)
        results[check.name] = check.run(lot) if pairs else Result(skipped="there are no pairs")
    progress(1.0, "")
    found: list[list[Finding]] = [[] for _ in pairs]
    for result in results.values():
        for finding in result.findings:
            found[finding.place].append(finding)
    before = doubts(lot)
    verdicts = [_judge(pair, own, doubt) for pair, own, doubt in zip(pairs, found, before, strict=True)]
    labels = lot.labels if pairs else None
    right = labels.right.tolist() if labels is not None and labels.least else [1.0] * len(pairs)
    return Inspection(verdicts, results, lot.groups.tolist() if pairs else [], right)


def doubts(lot: Lot) -> Sequence[float]:
    """For each pair the probability that its label is turned round, by the view that doubts it most; the prior without
    a model."""
    if not lot.pairs or not lot.views:
        return [TURNED_BEFORE] * len(lot.pairs)
    lowest = np.min([view.values for view in lot.views], axis=0)
    return [float(chance) for chance in expit(logit(TURNED_BEFORE) - np.clip(lowest, -30, 30))]


def _judge(pair: PreferencePair, found: Sequence[Finding], doubt: float) -> Verdict:
    if any(finding.flag == TURNED for finding in found):
        doubt = 0.0  # the finding says it
    innocent = 1 - doubt
    for finding in found:
        innocent *= 1 - min(finding.suspicion, 0.999)
    flags = [finding.flag for finding in found] + ["disagrees"] * (doubt >= _DISAGREES)
    reasons = [finding.reason for finding in found]
    if doubt >= _DISAGREES:
        reasons.append(f"Other pairs make its label doubtful ({doubt:.0%} that it is the wrong way round).")
    holds = any(finding.holds for finding in found)
    return Verdict(pair.uuid, round(1 - innocent, 6), tuple(dict.fromkeys(flags)), tuple(dict.fromkeys(reasons)), holds)
