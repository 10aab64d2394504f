"""The A/B comparison: its two-sided promise by simulation, its power, and what it says where it cannot say."""

from __future__ import annotations

import numpy as np
import pytest

from retrain.versus import Compared, compare, evidence

ALPHA = 0.05
RUNS, PEOPLE, EVENTS = 1000, 1000, 500
# Of 1,000 runs with a true rate of 5 %, more than this many happen less than once in 10,000 times.
MOST = 78


def edges(share: float) -> tuple[np.ndarray, np.ndarray]:
    """For each number of events, from how many of the candidate's it is named worse, and up to how many better."""
    limit, counts = np.log(2 / ALPHA), np.arange(EVENTS + 1)
    worse, better = np.full(EVENTS + 1, EVENTS + 1), np.full(EVENTS + 1, -1)
    high = low = 0
    for n in counts:
        while high <= n and evidence(high, int(n) - high, share=share)[0] < limit:
            high += 1
        while low <= n and evidence(low, int(n) - low, share=share)[1] >= limit:
            low += 1
        worse[n], better[n] = high, low - 1
    return worse, better


def named(seed: int, rates: tuple[float, float], share: float) -> tuple[int, int]:
    """How many of RUNS ever name the candidate worse, and better, where both are disliked at these rates."""
    rng, (worse, better) = np.random.default_rng([21, seed]), edges(share)
    arms = rng.random((RUNS, PEOPLE)) < share
    events = rng.random((RUNS, PEOPLE)) < np.where(arms, *rates)
    n, hits = np.cumsum(events, axis=1), np.cumsum(events & arms, axis=1)
    assert n.max() <= EVENTS
    return int((hits >= worse[n]).any(axis=1).sum()), int((hits <= better[n]).any(axis=1).sum())


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_versions_that_are_alike_are_seldom_told_apart_over_all_looks(share: float) -> None:
    assert sum(named(1, (0.3, 0.3), share)) <= MOST


def test_the_better_one_is_found_in_either_direction_and_seldom_the_other() -> None:
    worse, better = named(2, (0.1, 0.25), 0.5)
    assert better > 0.9 * RUNS > MOST > worse
    worse, better = named(3, (0.25, 0.1), 0.5)
    assert worse > 0.9 * RUNS > MOST > better


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
    assert compare(0, 0, share=0.5, alpha=ALPHA).reason == "Open: nothing was disliked yet."
