"""Two kinds of source at once: the interval covers where one of them alone would not, and says what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom

from estimates.crossed import crossed_difference, crossed_ratio
from estimates.means import paired_difference

RUNS = 600
ENOUGH = int(binom.ppf(1e-5, RUNS, 0.94))


def judged(
    rng: np.random.Generator, prompts: int, people: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[int]]:
    """Pairs that either version alone ranks right, as prompt and person (log-odds of spread 1) decide; no gain."""
    person = rng.integers(0, people, prompts)
    lean = expit(rng.normal(0, 1, prompts) + rng.normal(0, 1, people)[person])
    draw = rng.random(prompts)
    return draw < 0.5 * lean, (draw >= 0.5 * lean) & (draw < 0.5), person.tolist()


@pytest.mark.slow
def test_it_covers_with_six_people_where_prompts_alone_do_not() -> None:
    rng, names = np.random.default_rng(7), list(range(250))
    kept = naive = 0
    for _ in range(RUNS):
        new, old, people = judged(rng, 250, 6)
        both, alone = crossed_difference(new, old, names, people), paired_difference(new, old, clusters=names)
        assert both.low is not None and both.high is not None and alone.low is not None and alone.high is not None
        kept += both.low <= 0 <= both.high
        naive += alone.low <= 0 <= alone.high
    assert kept >= ENOUGH > naive, (kept, naive)


def test_it_is_never_narrower_than_either_alone() -> None:
    rng = np.random.default_rng(3)
    prompts = rng.integers(0, 40, 120).tolist()
    new, old, people = judged(rng, 120, 8)
    change = new.astype(float) - old
    both = crossed_difference(new, old, prompts, people)
    for alone in (
        paired_difference(new, old, clusters=prompts),
        crossed_ratio(change, np.ones(120), prompts),
        crossed_ratio(change, np.ones(120), people, minimum=5),
    ):
        assert alone.low is not None and alone.high is not None and both.low is not None and both.high is not None
        assert both.value == pytest.approx(alone.value)
        assert both.low <= alone.low + 1e-12 and both.high >= alone.high - 1e-12


def test_a_ratio_of_units_is_the_students_interval_of_their_mean() -> None:
    found = crossed_ratio([1.0, 2.0, 4.0], [1, 1, 1], ["a", "b", "c"], minimum=2)
    assert found.value == pytest.approx(7 / 3)
    # Standard error 0.882, Student's quantile with two degrees of freedom 4.303.
    assert found.low == pytest.approx(7 / 3 - 3.795, abs=1e-3)
    assert found.high == pytest.approx(7 / 3 + 3.795, abs=1e-3)


def test_too_few_sources_are_missing() -> None:
    assert crossed_ratio([1.0] * 12, [1] * 12, [n % 3 for n in range(12)]).needed == 68
    single = crossed_difference([1.0] * 30, [0.0] * 30, list(range(30)), ["ann"] * 30)
    assert (single.value, single.needed) == (None, 1)
    assert crossed_ratio([], [], []).value is None
