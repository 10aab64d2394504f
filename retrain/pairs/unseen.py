"""What customs could not tell of a lot, and how much more it takes: a check that cannot see finds nothing either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from core.types import PreferencePair
from retrain.pairs.customs.inspection import Inspection
from retrain.pairs.customs.preference import FEWEST_GROUPS
from retrain.pairs.customs.reliability import FEWEST

CHANCE = 0.5
TURNED, TRIGGERS, AGAINST = "labels turned round", "triggers", "contributors who label against the others"


def list_unseen(inspected: Inspection, pairs: Sequence[PreferencePair]) -> list[str]:
    """A sentence for each question about the labels of `pairs` that their inspection left open; none without pairs."""
    if not pairs:
        return []
    agreed: Mapping[str, Any] = inspected.results["agreement"].figures
    told = (_learnt(inspected, agreed), _turned(inspected, agreed), _people(agreed), _contributors(inspected, pairs))
    return [sentence for sentence in told if sentence]


def _learnt(inspected: Inspection, agreed: Mapping[str, Any]) -> str:
    """Whether the pairs teach anything that a label could contradict."""
    prompts = len(set(inspected.clusters))
    if "model" not in agreed:
        more = FEWEST_GROUPS - prompts
        blind = _list(TURNED, TRIGGERS, *_against(inspected))
        return f"Not looked for: {blind}. That takes {FEWEST_GROUPS} different prompts, {more} more than there are."
    model = agreed["model"]
    if model["value"] is None:
        blind = _list(TURNED, TRIGGERS, *_against(inspected))
        return f"Not known: {blind}. About {model['needed']} more pairs of different prompts are needed."
    if not _is_chance(model):
        return ""
    # What short fits of the chat model know better tells turned labels, and nothing else.
    fits = agreed.get("held_out", {})
    known = fits.get("low") is not None and not _is_chance(fits)
    blind = _list(*([] if known else [TURNED]), TRIGGERS, *_against(inspected))
    kept = "Pairs of the same prompt may still tell. " if prompts < len(inspected.clusters) else ""
    return (
        "Labels cannot be told wrong from right by what other prompts' pairs teach: it agrees with "
        f"{model['value']:.0%} [{model['low']:.0%}, {model['high']:.0%}] of {model['n']} labels, and one half is "
        f"chance. So {blind} may be there and not show. {kept}{_remedy(model)}"
    )


def _remedy(model: Mapping[str, Any]) -> str:
    above = model["value"] - CHANCE
    if above <= 0:
        return (
            "More such pairs need not help: ask the chat model of the labels too, or have people judge answers twice."
        )
    # The interval narrows with the root of the number: a plan, not a promise.
    more = max(1, ceil(model["n"] * (((model["value"] - model["low"]) / above) ** 2 - 1)))
    return f"About {_round(more):,} more pairs of different prompts would tell, if they agree as these do."


def _turned(inspected: Inspection, agreed: Mapping[str, Any]) -> str:
    """Whether the share of labels turned round is told from none."""
    found = inspected.results["turned"].figures
    if not found or found["least"] or not found["share"] or _is_chance(agreed.get("model", {})):
        return ""
    return (
        f"Whether labels are turned round is open: about {found['share']:.0%} look so, but none may be, with "
        f"{found['n']} pairs. Nothing is held for it."
    )


def _people(agreed: Mapping[str, Any]) -> str:
    people = agreed["people"]
    if people["value"] is not None:
        return ""
    return f"How far people agree is not known: {people['needed']} more answers that two of them judged are needed."


def _contributors(inspected: Inspection, pairs: Sequence[PreferencePair]) -> str:
    if not inspected.results["reliability"].skipped:
        return ""
    counts = Counter(pair.contributor for pair in pairs if pair.contributor)
    most = max(counts.values(), default=0)
    there = f"{len(counts)} named, with {most} at most" if counts else "none named"
    return f"Contributors were not compared: that takes two who are named, one with {FEWEST} pairs; there are {there}."


def _against(inspected: Inspection) -> list[str]:
    """AGAINST, unless people who judged the same answers tell of each other."""
    return [] if inspected.results["reliability"].figures.get("overlapping") else [AGAINST]


def _list(*names: str) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _is_chance(model: Mapping[str, Any]) -> bool:
    """Whether the labels agree with what is known no better than chance, as far as one can tell."""
    return model.get("low") is not None and bool(model["low"] <= CHANCE)


def _round(number: int) -> int:
    """To two digits: the rest is no knowledge."""
    scale = int(10 ** max(0, len(str(number)) - 2))
    return ceil(number / scale) * scale
