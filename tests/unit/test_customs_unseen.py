"""What customs could not tell is said, with how much more it takes; and nothing is said where they could."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from typing import Any

import pytest

from core.types import Estimate
from retrain.pairs.customs.findings import Result
from retrain.pairs.customs.inspection import Inspection, checks, inspect_lot
from retrain.pairs.unseen import AGAINST, TRIGGERS, TURNED, list_unseen
from tests.customs_world import make_lot

PEOPLE = asdict(Estimate(0.9, 0.8, 0.95, 100, "exact"))
LOT = make_lot(40, seed=1)


def inspected(
    model: Estimate | None,
    *,
    turned: tuple[float, float] = (0.0, 0.0),
    people: dict[str, Any] = PEOPLE,
    alone: str = "",
) -> Inspection:
    """What customs say of LOT, by figures."""
    figures = {"people": people, **({"model": asdict(model)} if model else {})}
    share, least = turned
    results = {
        "agreement": Result(figures=figures),
        "turned": Result(figures={"share": share, "least": least, "n": 40} if model else {}),
        "reliability": Result(skipped=alone),
    }
    return Inspection([], results, list(range(40)) if model else [0, 1, 2] + [3] * 37)


SURE = Estimate(0.8, 0.65, 0.9, 40, "exact")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (inspected(SURE), []),
        (inspected(SURE, turned=(0.2, 0.1)), []),
        (inspected(None), [f"Not looked for: {TURNED}, {TRIGGERS} and {AGAINST}.", "10 different prompts, 6 more"]),
        (inspected(Estimate.missing(6, "exact", 24)), ["Not known", AGAINST, "About 24 more pairs"]),
        # An interval of 0.1 below 0.55 must halve: four times as many pairs.
        (inspected(Estimate(0.55, 0.45, 0.65, 40, "exact")), ["55% [45%, 65%] of 40 labels", "About 120 more pairs"]),
        (inspected(Estimate(0.48, 0.38, 0.58, 40, "exact")), ["may be there and not show", "need not help"]),
        (inspected(SURE, turned=(0.12, 0.0)), ["about 12% look so, but none may be", "with 40 pairs"]),
        (inspected(SURE, people=asdict(Estimate.missing(3, "exact", 27))), ["27 more answers that two of them"]),
        (inspected(SURE, alone="nobody is named"), ["one with 5 pairs"]),
    ],
)
def test_each_question_that_stays_open_is_told_in_a_sentence(given: Inspection, told: list[str]) -> None:
    said = list_unseen(given, LOT)
    assert len(said) == bool(told), said
    assert all(part in said[0] for part in told), said


def test_what_the_chat_model_or_people_on_the_same_answers_tell_is_not_called_unseen() -> None:
    blind = inspected(Estimate(0.5, 0.4, 0.6, 40, "exact"))
    agreed = {**blind.results["agreement"].figures, "held_out": asdict(SURE)}
    overlapping = Result(figures={"overlapping": {"ann": {"accuracy": 0.9}}})
    results = {**blind.results, "agreement": Result(figures=agreed), "reliability": overlapping}
    (said,) = list_unseen(replace(blind, results=results), LOT)
    assert "So triggers may be there and not show." in said and TURNED not in said and AGAINST not in said


def test_pairs_without_names_say_that_contributors_were_not_compared() -> None:
    nobody = [replace(pair, contributor="") for pair in LOT]
    (said,) = list_unseen(inspected(SURE, alone="nobody is named"), nobody)
    assert said.endswith("there are none named.")
    assert list_unseen(inspect_lot([], checks({})), []) == []


@pytest.mark.slow
def test_preferences_that_follow_nothing_are_said_to_be_so_and_others_not() -> None:
    """Of lots whose labels are dealt by a coin 1 in 40 agrees better than chance: four of six do once in 170,000."""
    told = {"sound": 0, "tossed": 0}
    for seed in range(6):
        draw, lot = random.Random(seed), make_lot(120, seed=seed)
        turned = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in lot]
        tossed = [both[draw.random() < 0.5] for both in zip(lot, turned, strict=True)]
        for name, pairs in (("sound", lot), ("tossed", tossed)):
            said = list_unseen(inspect_lot(pairs, checks({}), seed=seed), pairs)
            told[name] += any("cannot be told" in sentence for sentence in said)
    assert told["sound"] == 0 and told["tossed"] >= 3, told
