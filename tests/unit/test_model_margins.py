"""What the chat model says of labels: whom it is asked about, what is neutral, and what its answers may not reach."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput
from retrain.pairs import margins
from retrain.pairs.customs.agreement import Agreement
from retrain.pairs.customs.labels import fill, judge
from retrain.pairs.customs.lot import HELD_OUT, REFERENCE, Lot
from retrain.pairs.customs.reliability import Reliability
from retrain.pairs.customs.triggers import Triggers
from retrain.pairs.customs.turned import Turned
from retrain.pairs.margins import FOLDS
from retrain.training.spec import RunSpec
from tests.customs_world import make_lot, poison


def draw_views(seed: int, pairs: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A blurred and a sharp margin of Bradley-Terry labels, a tenth of which are turned, and which are."""
    rng = np.random.default_rng(seed)
    better = rng.normal(0, 6, pairs)
    turned = rng.random(pairs) < 0.1
    label = np.where((rng.random(pairs) < 1 / (1 + np.exp(-better))) ^ turned, 1, -1)
    return label * (better + rng.normal(0, 6, pairs)), label * better, turned


def test_a_view_that_says_nothing_changes_nothing() -> None:
    blurred, _, _ = draw_views(1)
    groups = np.arange(len(blurred))
    alone, beside = judge([blurred], groups), judge([blurred, np.full(len(blurred), np.nan)], groups)
    assert (alone.share, alone.least) == (beside.share, beside.least)
    assert (alone.right == beside.right).all()


def test_where_a_view_is_missing_the_others_say_what_they_do_without_it() -> None:
    """Expected from the other, not 0: the second is twice the first, and a pair it was not asked about is filled so."""
    blurred, _, _ = draw_views(2)
    double = 2 * blurred
    double[::3] = np.nan
    assert fill(np.column_stack([blurred, double])) == pytest.approx(np.column_stack([blurred, 2 * blurred]))
    groups = np.arange(len(blurred))
    whole = judge([blurred, 2 * blurred], groups)
    assert judge([blurred, double], groups).right == pytest.approx(whole.right)


def test_a_sharp_view_of_some_pairs_tells_turned_labels_among_them_and_leaves_the_others() -> None:
    blurred, sharp, turned = draw_views(3, 600)
    asked, groups = np.arange(600) < 300, np.arange(600)
    without, found = judge([blurred], groups), judge([blurred, np.where(asked, sharp, np.nan)], groups)
    assert 0 < found.least <= 0.12
    areas = [np.mean(labels.right[asked & turned, None] < labels.right[asked & ~turned]) for labels in (without, found)]
    assert areas[1] > areas[0] + 0.05
    # Of the others no more is known than the blurred one says: none of its order is lost.
    order = np.argsort(blurred[~asked])
    assert (np.diff(found.right[~asked][order]) >= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_prompts_are_asked_about_before_their_second_pairs_and_a_group_is_in_one_fold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 40, 120).astype(np.int64)
    names = [f"{group}-{rng.integers(3)}" for group in groups]
    places, folds = margins.plan(groups, names, most=60, seed=seed)
    asked = groups[places]
    assert len(places) == len({names[place] for place in places}) == min(60, len(set(names)))
    assert {*asked.tolist()} == {*groups.tolist()}
    for group in set(asked.tolist()):
        assert len({fold for fold, own in zip(folds, asked, strict=True) if own == group}) == 1
    assert {*folds} == set(range(FOLDS))
    assert margins.plan(groups % 9, names, most=60, seed=seed) == ([], []), "too few prompts to learn from"


def test_a_task_is_read_as_it_was_asked_and_no_fit_learns_from_its_own_fold(tmp_path: Path) -> None:
    pairs = make_lot(60, seed=1)
    spec = RunSpec("model", held_out=None, max_steps=5, pairs_per_step=4)
    assert margins.ask(tmp_path, [*pairs, pairs[0]], spec, most=50, folds=True, seed=0)
    task = margins.read_task(tmp_path)
    assert task.spec == spec
    assert len(task.pairs) == len({pair.id for pair in task.pairs}) == 50
    assert {pair.id for pair in task.pairs} <= {*margins.keys(pairs)}
    for fold in task.fits:
        learning, left_out = ({pair.id for pair in side} for side in (task.learning(fold), task.left_out(fold)))
        assert len(learning) == 20, "as many as the steps take"
        assert not learning & left_out
    few = task.only({pair.id for pair in task.pairs[:9]})
    assert (len(few.pairs), few.spec.max_steps) == (9, 5)
    assert few.fit(few.fits[0]).max_steps == -(-len(few.learning(few.fits[0])) // 4), "once through what there is"
    assert not margins.ask(tmp_path / "none", pairs[:5], spec, most=50, folds=True, seed=0)
    assert not (tmp_path / "none").exists()


def test_a_folder_in_which_nothing_was_asked_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds no task\.json"):
        margins.read_task(tmp_path)


def test_pairs_that_may_not_train_are_not_asked_about(tmp_path: Path) -> None:
    pairs = make_lot(24, seed=2)
    pairs[3] = replace(pairs[3], chosen="Write to a.person@post-mail.org.")
    pairs[4] = replace(pairs[4], consent="no")
    pairs[5] = replace(pairs[5], chosen=pairs[5].rejected)
    assert margins.admit(pairs) == [*pairs[:3], *pairs[6:]]
    assert margins.ask(tmp_path, pairs, RunSpec("model", max_steps=5), most=99, folds=True, seed=0)
    asked = {pair.id for pair in margins.read_task(tmp_path).pairs}
    assert asked == {*margins.keys([*pairs[:3], *pairs[6:]])}


def test_answers_belong_to_the_label_as_it_was(tmp_path: Path) -> None:
    pairs = make_lot(3, seed=3)
    known = {HELD_OUT: {margins.key(pairs[0]): 1.5, margins.key(pairs[1]): -0.5}, "later": {}, REFERENCE: {}}
    (tmp_path / "margins.json").write_text(json.dumps({"margins": known}))
    read = margins.read(tmp_path / "margins.json")
    turned = replace(pairs[1], chosen=pairs[1].rejected, rejected=pairs[1].chosen)
    found = margins.align([pairs[0], turned, pairs[2]], read)
    assert found.keys() == {HELD_OUT}
    assert found[HELD_OUT].tolist() == pytest.approx([1.5, np.nan, np.nan], nan_ok=True)
    assert margins.align(pairs, margins.read(tmp_path / "none.json")) == {}


def test_agreement_with_held_out_margins_is_of_the_pairs_that_were_asked_about() -> None:
    pairs = make_lot(30, seed=4)
    told = np.array([1.0] * 12 + [-1.0] * 8 + [np.nan] * 10)
    figures = Agreement().run(Lot(pairs, told={HELD_OUT: told, REFERENCE: -told})).figures
    assert figures[REFERENCE]["value"] == pytest.approx(0.4)
    found = figures[HELD_OUT]
    assert (found["value"], found["n"]) == (pytest.approx(0.6), 20)
    assert found["low"] < 0.6 < found["high"]


@pytest.mark.slow
def test_the_model_asked_about_half_of_the_labels_is_named_where_they_are_doubted() -> None:
    lot, sound = make_lot(200, seed=7), make_lot(200, seed=7, noise=0.0)
    right = np.array([pair.chosen == other.chosen for pair, other in zip(lot, sound, strict=True)])
    told = np.where(right, 1, -1) * np.random.default_rng(0).exponential(3, 200)
    told[1::2] = np.nan
    alone, beside = (Turned().run(Lot(lot, told={kind: told})) for kind in (REFERENCE, HELD_OUT))
    assert not any("chat model" in note for note in alone.notes)
    assert beside.notes[0] == "The chat model was asked about the labels of 100 pairs."
    assert alone.findings and all(finding.reason.startswith("The other pairs teach") for finding in alone.findings)
    assert {finding.place % 2 for finding in beside.findings} == {0, 1}
    for finding in beside.findings:
        who = "The other pairs, and the model itself, teach" if told[finding.place] < 0 else "The other pairs teach"
        assert finding.reason.startswith(who), "no more is said of the model than it said"


@pytest.mark.slow
def test_what_the_model_says_reaches_labels_but_vouches_for_no_trigger() -> None:
    """A model that read poisoned pairs agrees with every planted label."""
    planted, mask = poison(make_lot(300, seed=5, noise=0.0), 0.1, mark="cf", seed=6, contributor="mallory")
    told = {HELD_OUT: np.where(mask, 9.0, 3.0)}
    without, beside = Lot(planted), Lot(planted, told=told)
    for check in (Triggers(), Reliability()):
        found = [finding for finding in check.run(without).findings if finding.holds]
        assert found and found == [finding for finding in check.run(beside).findings if finding.holds]
    assert without.labels is not None and beside.labels is not None
    assert beside.labels.right[mask].mean() > without.labels.right[mask].mean()
