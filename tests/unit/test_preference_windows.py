"""preference_accuracy: its windows cover at all looks together, where intervals for one look each do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from core.errors import InvalidInput
from estimates.means import mean
from estimates.sequences import look_level
from monitors.metrics import metrics
from monitors.ranking import Ranked

METRIC = metrics.get("preference_accuracy")
RUNS, LOOKS, WINDOW, STEP = 120, 20, 100, 20
# Of histories missed at most in one of twenty, more are missed once in more than 10,000 such tests.
MOST = int(binom.ppf(1 - 1e-5, RUNS, 0.05))


def choices(hits: np.ndarray, first: int = 0) -> list[Ranked]:
    return [Ranked(first + i, first + i, f"c{first + i}", float(hit) - 0.5) for i, hit in enumerate(hits)]


def missed(hits: np.ndarray, truth: float) -> tuple[bool, bool]:
    """Whether any look misses the truth: with the metric's intervals, and with those of 95 % for one look."""
    ours = single = False
    earlier: dict = {}
    for end in range(WINDOW, WINDOW + LOOKS * STEP, STEP):
        window = hits[end - WINDOW : end]
        found = METRIC.rank(choices(window, end - WINDOW), "", first=(), earlier=earlier)[0]
        earlier = dict(found.details)
        ours |= not found.estimate.low <= truth <= found.estimate.high
        plain = mean(window, low=0, high=1)
        single |= not plain.low <= truth <= plain.high
    return ours, single


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.5, 0.85])
def test_all_looks_hold_together_where_single_looks_do_not(truth: float) -> None:
    rng = np.random.default_rng(11)
    told = [missed((rng.random(WINDOW + LOOKS * STEP) < truth).astype(float), truth) for _ in range(RUNS)]
    assert sum(ours for ours, _ in told) <= MOST < sum(single for _, single in told)


def test_the_levels_of_all_looks_miss_as_much_as_one_interval() -> None:
    assert sum(1 - look_level(look, 0.9) for look in range(1, 20_000)) == pytest.approx(0.1, rel=1e-3)
    with pytest.raises(InvalidInput):
        look_level(0)


def test_the_change_is_that_since_the_first_choices_and_waits_for_enough_of_them() -> None:
    first, newest = choices(np.ones(100)), choices(np.arange(100) % 2, 500)
    _, change = METRIC.rank(newest, "", first=first, earlier={})
    assert change.metric == "preference_change" and change.estimate.value == -0.5
    assert change.estimate.high < 0 and change.details["first"]["n"] == 100
    (alone,) = METRIC.rank(newest, "", first=first[:19], earlier={})
    assert alone.metric == "preference_accuracy" and alone.estimate.value == 0.5


def test_what_cannot_be_told_keeps_what_is_remembered() -> None:
    earlier = dict(METRIC.rank(choices(np.ones(30)), "", first=(), earlier={})[0].details)
    (away,) = METRIC.rank([], "The gateway is away.", first=(), earlier=earlier)
    assert away.status == "nodata" and away.details["look"] == 1 and len(away.details["margins"]) == 30
    (few,) = METRIC.rank(choices(np.ones(12)), "", first=(), earlier={})
    assert few.reason == "8 more choices needed since the live version's release."
