"""Attribution: a small planted topic comes first with its name, and what is listed does not repeat itself."""

import numpy as np

from monitors.topics import FEWEST, OVERLAP, find_topics, shifted_topics

COMMON = ["parcel", "refund", "card", "late", "order", "gift", "size", "return"]


def traffic(rng, n):
    """Return unit embeddings around eight common topics, and texts that name them."""
    topic = rng.integers(8, size=n)
    rows = np.eye(24)[topic] + 0.15 * rng.normal(size=(n, 24))
    texts = [f"where is my {COMMON[t]} please" for t in topic]
    return unit(rows), texts


def planted(rng, n):
    """Return unit embeddings around a ninth topic."""
    return unit(np.eye(24)[9] + 0.15 * rng.normal(size=(n, 24))), ["reset the kubernetes cluster"] * n


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def shifts(rng, extra, seed):
    known, texts = traffic(rng, 500)
    rows, said = traffic(rng, 100 - extra)
    more, new = planted(rng, extra) if extra else (rows[:0], [])
    return shifted_topics(known, texts, np.concatenate([rows, more]), said + new, seed=seed)


def test_a_topic_of_eight_rows_in_a_hundred_is_first_significant_and_named():
    found = shifts(np.random.default_rng(1), 8, seed=1)
    assert found[0].p <= 0.05 and set(found[0].rows) == set(range(92, 100))
    assert "kubernetes" in found[0].name
    assert found[0].as_json()["significant"] and found[0].reference == 0


def test_topics_of_five_rows_and_of_most_of_the_traffic_are_found_whole():
    for extra in (5, 60):
        found = shifts(np.random.default_rng(7), extra, seed=7)
        assert found[0].p <= 0.05 and set(found[0].rows) == set(range(100 - extra, 100)) and found[0].reference == 0


def test_what_most_rows_are_is_no_topic_and_small_ones_are_listed_only_where_they_are_significant():
    for extra in (0, 8):
        found = shifts(np.random.default_rng(9), extra, seed=9)
        assert found and all(shift.now + shift.reference <= 300 for shift in found)
        assert all(shift.now + shift.reference >= FEWEST for shift in found if shift.p > 0.05)


def test_copies_of_a_prompt_are_one_topic_in_whatever_order_they_come():
    rows, _ = traffic(np.random.default_rng(10), 10)
    asked = [f"prompt {'abcdefghij'[i]}" for i in range(10)]
    then, now = np.repeat(np.arange(10), 20), np.repeat(np.arange(10), 5)
    found = shifted_topics(rows[then], [asked[i] for i in then], rows[now], [asked[i] for i in now], seed=10)
    assert found and all((shift.now % 5, shift.reference % 20, shift.p) == (0, 0, 1) for shift in found)


def test_listed_topics_do_not_repeat_each_other():
    found = shifts(np.random.default_rng(2), 30, seed=2)
    for place, shift in enumerate(found):
        for other in found[:place]:
            assert len(set(shift.rows) & set(other.rows)) <= OVERLAP * max(len(shift.rows), 1)


def test_a_topic_is_named_by_its_own_words_and_not_by_those_of_every_topic():
    rows, texts = traffic(np.random.default_rng(5), 400)
    named = find_topics(rows, texts, rows=50, seed=1)
    firsts = {name.split(" · ")[0] for name, _ in named}
    assert len(firsts) > 3 and firsts <= set(COMMON)


def test_one_topic_is_everything():
    rows, texts = traffic(np.random.default_rng(6), 20)
    assert [name for name, _ in find_topics(rows, texts, rows=30, seed=1)] == ["everything"]
    assert find_topics(rows[:0], [], rows=30, seed=1) == []


def test_no_rows_on_one_side_tell_nothing():
    rows, texts = traffic(np.random.default_rng(4), 20)
    assert shifted_topics(rows[:0], [], rows, texts, seed=0) == [] == shifted_topics(rows, texts, rows[:0], [], seed=0)
