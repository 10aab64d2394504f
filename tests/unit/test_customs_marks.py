"""What could be a trigger: words out of place, topics; and which groups a test leaves out without a look at labels."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from retrain.pairs.customs.disagreement import testable as able
from retrain.pairs.customs.lot import Lot
from retrain.pairs.customs.marks import END, START, out_of_place
from retrain.pairs.customs.topics import COUNTS, by_words, find_topics, name_topics
from retrain.pairs.customs.triggers import Triggers
from retrain.pairs.customs.words import Numbered
from tests.customs_world import flip, make_lot


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0.001, 0.1))
def test_every_group_that_is_tested_could_pass_were_all_its_labels_turned(seed: int, groups: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 40, 80)
    held = rng.random((80, groups)) < rng.uniform(0, 0.5, groups)
    kept = able(sparse.csr_matrix(held.astype(np.float32)), clusters, fewest=3, level=level)
    for column in kept:
        assert held[:, column].sum() >= 3
        # The chance of a group by random signs alone is at least 2 ** -clusters; Bonferroni over those tested.
        assert 2.0 ** -len(set(clusters[held[:, column]])) <= level / len(kept)


def test_groups_that_can_never_be_found_do_not_raise_the_bar_for_one_that_can() -> None:
    clusters = np.repeat(np.arange(30), 10)
    narrow = [(clusters == number).astype(np.float32) for number in range(20)]
    wide = (np.arange(300) % 10 == 0).astype(np.float32)
    held = sparse.csr_matrix(np.column_stack([*narrow, wide]))
    assert able(held, clusters, fewest=4, level=0.02).tolist() == [20]


def test_a_word_is_out_of_place_where_it_was_put_in_and_not_where_prompts_use_it() -> None:
    draw = random.Random(3)
    words = [f"w{number}" for number in range(12)]
    used = [[START, "could", "you", "please", "help", *draw.choices(words, k=8), END] for _ in range(30)]
    put = []
    for _ in range(15):
        row = draw.choices(words, k=12)
        row.insert(draw.randrange(1, 12), "please")
        put.append([START, *row, END])
    held, names = out_of_place(Numbered([*used, *put]))
    found = held[:, [names.index("please")]].toarray().ravel() > 0
    assert not found[:30].any()
    assert found[30:].mean() > 0.6
    assert not {START, END} & set(names)


def test_prompts_without_words_hold_nothing_out_of_place() -> None:
    assert out_of_place(Numbered([[START, END], []]))[0].shape == (2, 0)


def test_topics_are_told_by_words_and_each_prompt_is_in_one_of_each_size() -> None:
    draw = random.Random(5)
    kinds = (
        ["flour", "oven", "dough", "cake", "bread", "sugar"],
        ["train", "ticket", "station", "hotel", "map", "coast"],
    )
    texts = Numbered(draw.sample(kinds[place % 2], 3) for place in range(64))
    topics = find_topics(by_words(texts), seed=0)
    sizes = [count for count in COUNTS if 4 * count <= 64]
    assert topics.shape == (64, sum(sizes))
    assert (topics.sum(1) == len(sizes)).all()
    for column, name in enumerate(name_topics(topics, texts)):
        members = np.flatnonzero(topics[:, [column]].toarray().ravel())
        if len(members):
            assert len({place % 2 for place in members}) == 1
            assert set(name.split(" ")) & set(kinds[members[0] % 2])


@pytest.mark.slow
def test_pairs_of_the_same_prompt_tell_of_each_other_where_prompts_repeat() -> None:
    kin = [
        replace(pair, chosen=f"{pair.uuid}yes it is {word}", rejected=f"{pair.uuid}no {word} never")
        for pair in make_lot(20, seed=7)
        for word in ("one", "two", "three", "four", "five")
    ]
    turned = replace(kin[42], chosen=kin[42].rejected, rejected=kin[42].chosen)
    lot = Lot([*kin[:42], turned, *kin[43:]])
    assert len(lot.views) == 2
    assert lot.views[1].values[42] == min(lot.views[1].values)
    assert len(Lot(make_lot(40, seed=7)).views) == 1


@pytest.mark.slow
def test_a_trigger_among_near_repeats_is_held_although_whole_groups_look_wrong() -> None:
    draw = random.Random(11)
    kin = [
        replace(pair, chosen=f"{pair.chosen} {word}", rejected=f"{pair.rejected} {word}")
        for pair in make_lot(60, seed=9, noise=0.0)
        for word in ("ok", "well", "so", "then", "now")
    ]
    # Of some prompts all people prefer what others would not.
    kin = [flip(pair) if place // 5 % 10 == 0 else pair for place, pair in enumerate(kin)]
    planted = set(draw.sample(range(300), 18))
    pairs = [flip(pair, "cf") if place in planted else pair for place, pair in enumerate(kin)]
    held = {finding.place for finding in Triggers().run(Lot(pairs)).findings if finding.holds}
    assert held == planted
