"""The form of an answer: each form by examples, their order, and what only looks like a loop or JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.descriptors.form import FORMS, form, loops

EXAMPLES = {
    "empty": ["", " \n\t"],
    "prose": [
        "Your parcel arrives on Monday.",
        "As stated before [citation needed], it is so.",
        "{name} will be filled in later.",
        "[[Main page]] links to it.",
        "The answer is 42 - give or take.\nNothing else.",
        "No, no, no, no! That is not it.",
        "-\n",
    ],
    "markdown": ["## Title\nText below it.", "It is **very** late.", "| a | b |\n|---|---|\n| 1 | 2 |", "See [it](x)."],
    "list": ["- one\n- two\n- three", "Here is what to do:\n1. Open it.\n2. Close it.\n3) Lock it.", "• red\n• blue"],
    "code": ["```python\nprint('hello')\nprint('world')\n```", "So:\n```\nwhile True:\n    wait(for_it, to_end)\n"],
    "json": ['{"a": [1, 2, {"b": null}]}', "[1, 2]", "[]", '```json\n{"a": 1}\n```', '```\n[{"a": 1}]\n```'],
    "invalid json": ['{"a": 1,}', '[{"a": 1}, {"b": ', '```json\n{a: 1}\n```', '{"a": 1} and some words'],
    "loop": [
        "I can help you with that. " * 5,
        "the same word " * 30,
        "Well, " + "very " * 14,
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "好的好的好的好的好的好的好的好的好的好的好的好的好的好的好的好的好的",
    ],
}  # fmt: skip


def test_every_form_has_its_examples():
    assert {*EXAMPLES, "cut off"} == set(FORMS)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in EXAMPLES.items() for text in texts])
def test_an_answer_has_its_form(name, text):
    assert form(text) == name


def test_a_broken_off_answer_is_cut_off_unless_it_loops_or_is_whole_json():
    assert form("Your parcel will", "length") == "cut off"
    assert form('{"a": 1, "b', "length") == "cut off"
    assert form("and then " * 20, "length") == "loop"
    assert form('{"a": 1}', "length") == "json"
    assert form("Your parcel will arrive.", "stop") == "prose"


@pytest.mark.parametrize(
    "text",
    [
        "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0",
        "item 1, item 2, item 3, item 4, item 5, item 6, item 7, item 8, item 9, item 10",
        "------------------------------------------------------------",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "```\nnop nop nop nop nop nop nop nop nop nop nop nop nop nop nop\n```",
        "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
        "10000000000000000000000000000000",
    ],
)
def test_what_repeats_by_its_nature_is_no_loop(text):
    assert not loops(text)


@given(
    st.lists(st.sampled_from(["red", "blue", "green", "grey", "pink"]), min_size=1, max_size=24), st.integers(12, 20)
)
def test_any_phrase_told_twelve_times_is_a_loop(words, times):
    assert loops("To begin with: " + " ".join(words * times))


LEAVES = st.none() | st.booleans() | st.integers() | st.text()


@pytest.mark.slow
@given(st.recursive(LEAVES, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=12))
def test_any_json_object_is_json_and_any_text_has_a_form(value):
    assert form(json.dumps({"value": value})) == "json"
    assert form(str(value)) in FORMS


@pytest.mark.parametrize("text", ["[" * 100_000, "ab" * 100_000, "```" * 50_000, "**" * 50_000, "[a](" * 50_000])
@pytest.mark.timeout(5)
def test_hostile_answers_are_read_in_bounded_time(text):
    assert form(text) in FORMS
