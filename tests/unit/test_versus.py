"""The A/B comparison: its two-sided promise by simulation, its power, and what it says where it cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from retrain.versus import Compared, compare

ALPHA = 0.05
# Of 300 runs with a true rate of 5 %, more than this many happen less than once in 10,000 times.
MOST_OF_300 = 31


def named(rng: np.random.Generator, rates: tuple[float, float], share: float, people: int) -> str:
    """What is first named over all looks where the candidate and the champion are disliked at these rates."""
    arms = rng.random(people) < share
    events = arms[rng.random(people) < np.where(arms, *rates)]
    for n, hits in enumerate(np.cumsum(events), 1):
        if (found := compare(int(hits), n - int(hits), share=share, alpha=ALPHA)).outcome != "open":
            return found.outcome
    return "open"


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_versions_that_are_alike_are_seldom_told_apart_over_all_looks(share: float) -> None:
    rng = np.random.default_rng([21, int(share * 100)])
    assert sum(named(rng, (0.2, 0.2), share, 1500) != "open" for _ in range(300)) <= MOST_OF_300


def test_the_better_one_is_found_in_either_direction() -> None:
    rng = np.random.default_rng(22)
    assert [named(rng, (0.1, 0.3), 0.5, 1000) for _ in range(20)].count("better") >= 18
    assert [named(rng, (0.3, 0.1), 0.5, 1000) for _ in range(20)].count("worse") >= 18


def test_both_directions_are_each_others_mirror_and_name_their_counts() -> None:
    one, other = compare(60, 10, share=0.5, alpha=ALPHA), compare(10, 60, share=0.5, alpha=ALPHA)
    assert (one.outcome, other.outcome, one.worse, one.limit) == ("worse", "better", other.better, pytest.approx(40))
    assert "60 of 70 disliked answers are the candidate's" in one.reason


def test_too_few_say_how_many_more_and_none_where_nothing_leans() -> None:
    few = compare(6, 2, share=0.5, alpha=ALPHA)
    assert few.outcome == "open"
    assert 0 < few.needed < 200
    assert (
        compare(6 + round(few.needed * 0.75), 2 + round(few.needed * 0.25), share=0.5, alpha=ALPHA).outcome == "worse"
    )
    for even in (compare(0, 0, share=0.5, alpha=ALPHA), compare(50, 50, share=0.5, alpha=ALPHA)):
        assert isinstance(even, Compared)
        assert (even.outcome, even.needed) == ("open", 0)
