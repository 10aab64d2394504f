"""A client that names no conversation is told apart by the history that it sends."""

from __future__ import annotations

from gateway.conversations import Conversations


def say(*texts: str) -> list[dict[str, str]]:
    """Messages by turns, the user's first."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def test_what_goes_on_with_an_answer_is_the_same_conversation() -> None:
    talks = Conversations()
    talks.keep("a", say("hello"), "hi, how can I help?", "c1")
    assert talks.find("a", say("hello", "hi, how can I help?\n", "where is it?")) == "c1"
    talks.keep("a", say("hello", "hi, how can I help?", "where is it?"), "in Bonn", "c1")
    # A client that leaves out the beginning, or puts another system prompt before it, still goes on.
    late = [{"role": "system", "content": "be kind"}, *say("where is it?", "in Bonn", "thanks")]
    assert talks.find("a", late) == "c1"


def test_an_opening_another_caller_and_an_answer_that_nobody_gave_are_new() -> None:
    talks = Conversations()
    talks.keep("a", say("hello"), "hi", "c1")
    assert talks.find("a", say("hello")) == ""
    assert talks.find("b", say("hello", "hi", "and?")) == ""
    assert talks.find("a", say("hello", "an example of an answer", "and?")) == ""
    assert talks.find("a", [{"role": "assistant", "content": "hi"}, *say("and?")]) == ""


def test_of_two_that_said_the_same_the_newest_is_meant_and_the_oldest_are_forgotten() -> None:
    talks = Conversations(most=2)
    talks.keep("a", say("hello"), "hi", "c1")
    talks.keep("a", say("hello"), "hi", "c2")
    assert talks.find("a", say("hello", "hi", "and?")) == "c2"
    talks.keep("a", say("x"), "y", "c3")
    talks.keep("a", say("v"), "w", "c4")
    assert talks.find("a", say("hello", "hi", "and?")) == ""
    assert talks.find("a", say("x", "y", "and?")) == "c3"


def test_an_empty_answer_is_nothing_to_go_on_with() -> None:
    talks = Conversations()
    talks.keep("a", say("hello"), " ", "c1")
    assert talks.find("a", say("hello", "", "and?")) == ""
