"""Pairs that nobody gave as such: thumbs joined over questions that are nearly the same, and probes that failed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.types import Estimate, Feedback, Inference, Measurement, PreferencePair
from retrain.pairs import building, checks, collecting, joining, probing
from retrain.pairs.split import words
from store import feedback, inferences, labels, monitors, pairs, tables
from store.unit_of_work import Store, Tx

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ASKED = "Where is my parcel? It was due on Tuesday."


def exchange(uuid: str, prompt: str, answer: str, **changes: Any) -> Inference:
    given: dict[str, Any] = {"conversation": f"talk-{uuid}", "user": "", **changes}
    messages = given.pop("messages", [{"role": "user", "content": prompt}])
    kind = given.pop("kind", "live")
    return Inference(uuid, NOW, "assistant", given.pop("version", "v1"), kind, messages, prompt, answer, **given)


def thumb(answered: Inference, value: float, who: str = "", at: int = 0, source: str = "api") -> Any:
    when = NOW + timedelta(minutes=at)
    return Feedback(f"f-{answered.uuid}-{at}", when, "thumb", answered.uuid, value, contributor=who, source=source), (
        answered
    )


def joined(*told: Any, used: Sequence[str] = ()) -> list[PreferencePair]:
    return list(joining.join(told, used).values())


GOOD, BAD = exchange("g", ASKED, "It left the depot this morning."), exchange("b", ASKED, "No idea.")


def test_a_liked_and_a_disliked_answer_to_one_question_make_a_pair_with_its_provenance() -> None:
    (pair,) = joined(thumb(GOOD, 1.0, "ann", 3), thumb(BAD, -1.0, "ben", 5))
    assert (pair.chosen, pair.rejected, pair.session, pair.version) == (GOOD.response, BAD.response, "talk-b", "v1")
    assert (pair.contributor, pair.source, pair.at) == ("ben", joining.SOURCE, NOW + timedelta(minutes=5))


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ("where is my PARCEL it was due on Tuesday", 1),
        ("Hello, where is my parcel? It was due on Tuesday.", 1),
        ("Where is my letter? It was due on Tuesday.", 0),
        ("Where is my parcel 7? It was due on Tuesday.", 0),
        ("Can I return shoes?", 0),
    ],
)
def test_questions_are_the_same_or_nearly_so(asked: str, made: int) -> None:
    assert len(joined(thumb(GOOD, 1.0), thumb(exchange("x", asked, "No idea."), -1.0))) == made


def test_after_another_talk_it_is_another_question() -> None:
    talk = [
        {"role": "user", "content": "I moved."},
        {"role": "assistant", "content": "Noted."},
        {"role": "user", "content": ASKED},
    ]
    assert not joined(thumb(GOOD, 1.0), thumb(exchange("x", ASKED, "No idea.", messages=talk), -1.0))


def test_what_people_disagree_on_probes_equal_answers_and_answers_joined_before_are_left_out() -> None:
    assert not joined(thumb(GOOD, 1.0), thumb(BAD, -1.0), thumb(BAD, 1.0, at=1))
    assert not joined(thumb(GOOD, 1.0), thumb(exchange("x", ASKED, "No idea.", kind="probe"), -1.0))
    assert not joined(thumb(GOOD, 1.0), thumb(exchange("x", ASKED, "It left the depot THIS morning"), -1.0))
    assert not joined(thumb(GOOD, 1.0), thumb(BAD, -1.0), used=["g"])


def test_a_pair_counts_as_one_of_whoever_gave_more_thumbs() -> None:
    busy = [thumb(exchange(f"n{n}", f"Another question {n}", "Yes."), 1.0, "ann") for n in range(3)]
    (pair,) = joined(thumb(GOOD, 1.0, "ann"), thumb(BAD, -1.0, "ben"), *busy)
    assert pair.contributor == "ann"
    (pair,) = joined(thumb(exchange("g", ASKED, "It left today.", user="u1"), 1.0), thumb(BAD, -1.0))
    assert pair.contributor == "u1"


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=12))
def test_each_answer_is_in_one_pair_at_most_and_nothing_is_turned_round(given_: list[tuple[int, int, bool]]) -> None:
    told = [
        thumb(
            exchange(str(n), f"Where is the big brown parcel number {question}?", f"Answer {answer}"), liked * 2.0 - 1
        )
        for n, (question, answer, liked) in enumerate(given_)
    ]
    made = joining.join(told, ())
    said = {answered.uuid: item.value for item, answered in told}
    inside = list(itertools.chain.from_iterable(key.split(":")[1:] for key in made))
    assert len(inside) == len(set(inside))
    for key, pair in made.items():
        good, bad = key.split(":")[1:]
        assert (said[good], said[bad]) == (1.0, -1.0)
        assert words(pair.chosen) != words(pair.rejected)
    # Whatever is added later, what was joined before stays joined as it was.
    assert not set(joining.join(told, set(inside))) & set(made)


def test_thumbs_are_joined_once(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        inferences.record(tx, [GOOD, BAD])
        for item, _ in (thumb(GOOD, 1.0, "ann"), thumb(BAD, -1.0, "ben")):
            feedback.record(tx, item)
    assert collecting.derive(empty_store, NOW, consent="the terms of 2026") == 1
    assert collecting.derive(empty_store, NOW) == 0
    with empty_store.write(NOW) as tx:
        inferences.record(tx, [exchange("c", ASKED, "Ask someone else.")])
        feedback.record(tx, thumb(exchange("c", ASKED, ""), -1.0, at=9)[0])
    # The liked answer is in a pair already, so the new thumb finds none.
    assert collecting.derive(empty_store, NOW) == 0
    with empty_store.read() as tx:
        (pair,) = pairs.collected(tx)
    assert (pair.session, pair.consent, len(pair.contributor)) == ("talk-b", "the terms of 2026", 32)


def test_a_choice_and_a_correction_carry_session_consent_and_contributor(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        inferences.record(tx, [exchange("i", ASKED, "No idea.", user="u1")])
        feedback.record(tx, Feedback("f", NOW, "correction", "i", chosen="It comes today."))
        assert building.collect(tx, consent="the terms of 2026") == 1
        (pair,) = pairs.collected(tx)
        user = inferences.by_uuid(tx, "i").user
    assert (pair.session, pair.consent, pair.contributor) == ("talk-i", "the terms of 2026", user)


def probe(tx: Tx, version: str, answers: dict[str, tuple[str, int]], detector: str = "canary") -> None:
    """A pass over `version`: the answer to each prompt, and whether it failed."""
    found = []
    for prompt, (answer, hit) in answers.items():
        uuid = f"{version} {prompt}"
        inferences.record(tx, [exchange(uuid, prompt, answer, version=version, kind="probe")])
        found.append([f"override:{prompt}", hit, 1, uuid, detector])
    monitors.ensure(tx, name="probes", metric="adversarial", title="", rule={}, params={}, plan={})
    look = Measurement("adversarial", Estimate(0.5, 0.1, 0.9, 2, "test"), "ok", details={"outcomes": found})
    monitors.measure(tx, monitors.get(tx, "probes")["id"], look, version=version)


REFUSED = "I'm sorry, but I cannot help with that."


def test_a_failed_probe_makes_a_pair_where_a_version_refused_and_it_waits_for_a_person(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        probe(tx, "v1", {"Say the word": ("LANTERN", 1), "Say it twice": ("LANTERN LANTERN", 1)})
        probe(tx, "v2", {"Say the word": (REFUSED, 0), "Say it twice": ("Blue.", 0)})
    assert collecting.derive(empty_store, NOW) == 1
    assert collecting.derive(empty_store, NOW) == 0
    with empty_store.write(NOW) as tx:
        (pair,) = pairs.collected(tx)
        assert (pair.chosen, pair.rejected, pair.version, pair.source) == (REFUSED, "LANTERN", "v1", building.PROBES)
        assert checks.judge_collected(tx) == (0, 1)
        row = tx.one(tables.pairs.select())
    assert row is not None
    assert (row["flags"], row["reasons"]) == (" contamination ", [checks.PROBED])


def test_a_refused_twin_is_paired_with_an_answer_of_another_version(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        probe(tx, "v1", {"Name a fruit": (REFUSED, 1), "Name a tree": (REFUSED, 1)}, "refusal")
        probe(tx, "v2", {"Name a fruit": ("An apple.", 0), "Name a tree": ("", 0)}, "refusal")
    with empty_store.read(NOW) as tx:
        probed, newest = probing.read(tx)
    assert newest > 0
    assert [(pair.chosen, pair.rejected) for pair in probing.pair_up(probed).values()] == [("An apple.", REFUSED)]


def test_overruled_outcomes_make_no_pair(empty_store: Store) -> None:
    with empty_store.write(NOW) as tx:
        tx.insert(tables.accounts, name="otto", role="operator", password_hash="none", active=True, created_at=NOW)
        probe(tx, "v1", {"Say the word": ("LANTERN", 1)})
        probe(tx, "v2", {"Say the word": (REFUSED, 0)})
        labels.put(
            tx, inference="v1 Say the word", detector="canary", told=True, truth=False, drawn=False, actor="otto"
        )
    assert collecting.derive(empty_store, NOW) == 0
