"""The demo's corpus, customers and story: reproducible, honest about its rule, and never back in time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest

from trimtab.demo.corpus import after_recall, everyday, help_page, history, labelled_pairs
from trimtab.demo.customers import react, satisfied
from trimtab.demo.feedback import topic_of
from trimtab.demo.phases import BETTER_ANSWERS, CALM_ANSWERS, Story, due_for_damage, phase
from trimtab.demo.topics import CITIES, EVERYDAY, POOR, RECALL, TOPICS

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def test_the_corpus_is_reproducible_and_dated_before_now() -> None:
    rows = history(200, seed=1, now=NOW)
    assert rows == history(200, seed=1, now=NOW)
    times = [str(row["at"]) for row in rows]
    assert times == sorted(times)
    assert times[-1] < NOW.isoformat()


def test_the_recall_is_news_only_afterwards() -> None:
    random = Random(3)
    assert all(everyday(random).topic is not RECALL for _ in range(300))
    share = sum(after_recall(random).topic is RECALL for _ in range(2000)) / 2000
    assert 0.3 < share < 0.4


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_help_pages_satisfy_and_poor_answers_do_not(topic: object) -> None:
    from trimtab.demo.corpus import Question
    from trimtab.demo.topics import Topic

    assert isinstance(topic, Topic)
    random = Random(1)
    question = Question(topic.asks[0], topic)
    assert all(satisfied(question, help_page(question, random)) for _ in range(10))
    assert not any(satisfied(question, poor) for poor in POOR)


def test_a_help_page_answers_on_the_city_that_was_asked_about() -> None:
    pairs = [pair for pair in labelled_pairs(800, seed=3, now=NOW) if isinstance(pair["prompt"], str)]
    both = [
        (asked[0], told[0]) for pair in pairs if (asked := named(pair["prompt"])) and (told := named(pair["chosen"]))
    ]
    assert both
    assert all(asked == told for asked, told in both)


def named(text: object) -> list[str]:
    return [city for city in CITIES if city in str(text)]


def test_customers_keep_to_the_stated_rule() -> None:
    random = Random(5)
    question = everyday(random)
    reactions = [react(question, POOR[0], random) for _ in range(6000)]
    given = [reaction for reaction in reactions if reaction is not None]
    thumbs = Counter(reaction.thumb for reaction in given)
    corrections = sum(bool(reaction.correction) for reaction in given)
    assert abs(len(given) / 6000 - 2 / 3) < 0.03
    assert abs(thumbs[1] / len(given) - 1 / 20) < 0.02
    assert abs(corrections / thumbs[-1] - 1 / 2) < 0.05


def test_a_topic_is_found_again_in_its_own_questions() -> None:
    random = Random(2)
    found = [(question := everyday(random), topic_of(question.text)) for _ in range(200)]
    assert sum(question.topic is topic for question, topic in found) > 180


def test_labelled_pairs_never_repeat_a_prompt() -> None:
    pairs = labelled_pairs(240, seed=8, now=NOW)
    asked = [pair["prompt"] if isinstance(pair["prompt"], str) else pair["prompt"][-1]["content"] for pair in pairs]  # type: ignore[index]
    assert len(set(asked)) == 240
    with pytest.raises(ValueError):
        labelled_pairs(100_000, seed=8, now=NOW)


def test_the_story_goes_from_calm_to_settled() -> None:
    def story(**changes: object) -> Story:
        values = {
            "answers": CALM_ANSWERS,
            "answers_since_release": BETTER_ANSWERS,
            "training": False,
            "blocked": False,
            "promoted": False,
            "damaged": False,
            "rolled_back": False,
        }
        return Story(**{**values, **changes})  # type: ignore[arg-type]

    assert phase(story(answers=0)) == "calm"
    assert phase(story()) == "recall"
    assert phase(story(training=True)) == "learning"
    assert phase(story(promoted=True)) == "better"
    assert phase(story(blocked=True)) == "blocked"
    assert due_for_damage(story(blocked=True))
    assert due_for_damage(story(promoted=True))
    assert not due_for_damage(story(promoted=True, answers_since_release=0))
    assert not due_for_damage(story(promoted=True, damaged=True))
    assert phase(story(promoted=True, damaged=True)) == "damaged"
    assert phase(story(promoted=True, damaged=True, rolled_back=True)) == "settled"
    assert {topic.name for topic in EVERYDAY} | {RECALL.name} == {topic.name for topic in TOPICS}
