"""The sentiment of a text: by examples, in pieces, and what is left out."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.descriptors.sentiment import LONGEST, SENTIMENTS, sentiment

EXAMPLES = {
    "positive": ["Thank you, this is a great help!", "Not bad at all.", "I love it :)", "Nice. It arrives on Monday."],
    "neutral": ["Where is the parcel that I ordered?", "12345", "It is on its way to you.", "SELECT 1"],
    "negative": [
        "This is terrible, I hate it.",
        "I'm sorry, but I can't help with that.",
        "The food was good, but the service was horrible.",
        "It broke again. That is very bad.",
    ],
}


def test_every_sentiment_has_its_examples():
    assert tuple(sorted(EXAMPLES)) == tuple(sorted(SENTIMENTS))


@pytest.mark.parametrize(("name", "text"), [(n, text) for n, texts in EXAMPLES.items() for text in texts])
def test_a_text_has_its_sentiment(name, text):
    assert sentiment(text) == name


@pytest.mark.parametrize(
    "text", ["", " \n", "Das ist ein schreckliches Paket, und ich will es nicht.", "это ужасно и плохо"]
)
def test_empty_texts_and_other_languages_have_none(text):
    assert sentiment(text) is None


def test_a_long_text_is_the_mean_of_its_sentences_and_its_end_is_not_read():
    calm = "It is on its way to you. " * 30
    assert sentiment("It is terrible. " + calm) == "neutral"
    assert sentiment(calm + "It is terrible. " * 30) == "negative"
    assert sentiment("x " * (LONGEST // 2) + "It is terrible. " * 50) == "neutral"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_one_of_them_or_none(text):
    assert sentiment(text) in (*SENTIMENTS, None)


def test_a_text_without_a_full_stop_is_read_in_little_time():
    sentiment("warm")
    began = time.process_time()
    sentiment("but " + "good zz " * 3000)
    assert time.process_time() - began < 0.5  # 0.01 s in pieces; whole, all of it would take 2 s
