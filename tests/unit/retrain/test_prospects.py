"""What is foreseen from pairs: a planted preference is found, noise is not, and the topic without pairs is named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.types import PreferencePair
from estimates.learning import Gains
from estimates.proportions import proportion
from retrain import prospects
from retrain.learnt import by_topic

WIDTH = 12


def embed(texts):
    """Unit vectors from the words of a text: each word has its own direction, as far as there is room."""
    rows = np.zeros((len(texts), WIDTH))
    for row, text in zip(rows, texts, strict=True):
        for word in text.lower().replace("?", "").replace(".", "").split():
            row[sum(map(ord, word)) % WIDTH] += 1
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def make(n, seed, *, told=True, people=0):
    """Pairs whose better answer is the kind one, or any."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(n):
        answers = ["Gladly, done.", "No way."]
        if not told and rng.random() < 0.5:
            answers.reverse()
        subject = ("parcel", "refund", "voucher")[place % 3]
        number = "".join(chr(97 + int(digit)) for digit in str(rng.integers(10**9)))
        prompt = [{"role": "user", "content": f"Please help with {subject} {number} {number[::-1]}"}]
        made.append(
            PreferencePair(str(place), prompt, *answers, id=place, contributor=f"p{place % people}" if people else "")
        )
    return made


def test_a_planted_preference_is_likely_to_help_and_what_is_known_already_is_not_gained_again():
    pairs = make(160, 1, people=80)
    found = prospects.foresee(pairs, embed)
    assert found["outlook"] == "likely to help" and found["label"] == [] and found["contributors_apart"]
    assert found["gain"]["low"] > 0.2 and found["twice"]["low"] == found["gain"]["low"]
    assert found["sentence"].startswith("Likely to help: cheap models on these pairs gain 50 points")
    again = prospects.foresee(pairs, embed, known=range(160))
    assert again["known"] == 160 and again["gain"]["value"] == 0.0
    assert again["outlook"] == "not enough pairs" and abs(again["gain"]["high"] + again["gain"]["low"]) < 1e-9
    json.dumps(found)


def test_noise_is_not_enough_and_says_which_labels_to_collect():
    found = prospects.foresee(make(96, 2, told=False), embed)
    assert found["outlook"] == "not enough pairs" and found["needed"] > 0
    assert found["sentence"].endswith(f"about {found['needed']} more needed to tell.")
    assert not found["contributors_apart"]
    assert found["label"] and all("more would tell" in line for line in found["label"])
    assert [topic["doubt"] for topic in found["topics"]] == sorted(
        (topic["doubt"] for topic in found["topics"]), reverse=True
    )


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_few_pairs_say_how_many_more(n):
    found = prospects.foresee(make(n, 3), embed)
    assert found["outlook"] == "not enough pairs" and found["gain"]["value"] is None
    assert found["sentence"] == f"Not enough pairs: {20 - n} more needed."
    json.dumps(found)


def test_an_unlikely_gain_is_said_with_its_figures():
    none = proportion(0, 400)
    assert prospects.say("unlikely", Gains(none, none), 0).startswith("Unlikely to help: cheap models")


def test_the_topic_that_was_learnt_is_found_and_equal_versions_are_sure_of_nothing():
    rng = np.random.default_rng(4)
    subjects = ["late parcel today", "broken lamp box"]
    asked = [subjects[place % 2] for place in range(120)]
    vectors, prompts = embed(asked).astype(np.float32), [str(place) for place in range(120)]
    old = rng.integers(0, 2, 120).astype(float)
    new = [1.0 if place % 2 else hit for place, hit in enumerate(old)]
    found = by_topic(new, old.tolist(), asked, prompts, vectors)
    assert "lamp" in found[0]["name"] and found[0]["sure"] and found[0]["gain"]["low"] > 0
    assert not any(topic["sure"] for topic in found[1:])
    assert not any(topic["sure"] for topic in by_topic(old.tolist(), old.tolist(), asked, prompts, vectors))


@pytest.mark.slow
def test_without_a_gain_anywhere_some_topic_is_called_sure_in_one_run_of_twenty_at_most():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(120, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = prompts = [str(place) for place in range(120)]
    wrong = 0
    for _ in range(200):
        new, old = rng.integers(0, 2, (2, 120)).astype(float).tolist()
        wrong += any(topic["sure"] for topic in by_topic(new, old, asked, prompts, vectors))
    assert wrong <= 21  # above it in less than 1 of 10,000 at 0.05
