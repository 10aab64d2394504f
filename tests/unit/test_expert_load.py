"""Expert load: the largest share covers the true one whichever it is, and the metric says what it cannot tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from core.errors import Unavailable
from core.ports import ExpertLoad
from estimates.largest import largest_share
from estimates.means import mean
from monitors.experts import read_load
from monitors.metrics import metrics

RUNS = 200
# Of intervals that cover at least 95 %, fewer cover once in more than 10,000 such tests.
ENOUGH = int(binom.ppf(1e-5, RUNS, 0.95))
METRIC = metrics.get("expert_load")


def loads(rng: np.random.Generator, answers: int, shares: np.ndarray, like: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts [answers, experts] of answers of uneven length, each with a taste of its own about `shares`."""
    sizes = rng.integers(5, 120, answers)
    return rng.multinomial(sizes, rng.dirichlet(like * shares, answers)), sizes


def told(counts: np.ndarray, sizes: np.ndarray, chosen: int = 1) -> ExpertLoad:
    """As a server of one layer reports it."""
    rows = [array.reshape(1, -1).tolist() for array in (counts.sum(0), (counts**2).sum(0), sizes @ counts)]
    return ExpertLoad(len(sizes), int(sizes.sum()), int((sizes**2).sum()), chosen, *rows)


def largest(load: ExpertLoad) -> Any:
    return largest_share(
        load.counts, load.squares, load.products,
        units=load.answers, size=load.tokens, squared_size=load.squared_tokens,
    )  # fmt: skip


@pytest.mark.parametrize("shares", [np.full(8, 1 / 8), np.array([0.6, 0.2, 0.1, 0.1]), np.array([0.97, 0.03])])
def test_it_covers_the_largest_true_share(shares: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(RUNS):
        found = largest(told(*loads(rng, 40, shares, like=4.0)))
        hits += found.low <= shares.max() <= found.high
    assert hits >= ENOUGH


def test_tokens_taken_as_independent_would_not_cover() -> None:
    rng, shares = np.random.default_rng(6), np.array([0.6, 0.2, 0.1, 0.1])
    hits = 0
    for _ in range(RUNS):
        counts, _ = loads(rng, 40, shares, like=4.0)
        tokens = counts.sum()
        share = counts.sum(0).max() / tokens
        hits += abs(share - 0.6) <= 2.5 * np.sqrt(share * (1 - share) / tokens)
    assert hits < ENOUGH


def test_of_one_kind_it_is_the_clustered_mean_of_the_tokens() -> None:
    counts, sizes = loads(np.random.default_rng(7), 30, np.array([0.7, 0.3]), like=3.0)
    tokens = [float(token < count) for (count, _), n in zip(counts, sizes, strict=True) for token in range(n)]
    answers = [place for place, n in enumerate(sizes) for _ in range(n)]
    expected = mean(tokens, low=0, high=1, clusters=answers)
    found = largest(told(counts[:, :1], sizes))
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_the_number_is_0_for_even_use_and_1_for_one_expert() -> None:
    def value(counts: list[list[int]], chosen: int) -> Any:
        each, n = np.array(counts), 40
        size = each.sum() // len(counts) // chosen
        return METRIC.weigh(
            ExpertLoad(
                n, n * int(size), n * int(size) ** 2, chosen,
                (n * each).tolist(), (n * each**2).tolist(), (n * each * size).tolist(),
            ),
            {},
        )[0]  # fmt: skip

    even = value([[5, 5, 5, 5]], 2)
    assert even.estimate.value == 0 == even.estimate.low < even.estimate.high
    one = value([[10, 10, 0, 0], [5, 5, 5, 5]], 2)
    assert one.estimate.value == 1 and one.estimate.n == 40
    assert one.details["busiest"] == {"layer": 0, "expert": 0} and one.details["unused"] == 2
    assert one.details["entropy"] == [0.5, 1.0] and one.details["even_share"] == 0.5


def test_no_report_and_few_answers_are_missing_data() -> None:
    (none,) = METRIC.weigh(None, {})
    assert none.status == "nodata" and none.reason == "This server reports no expert load."
    (nobody,) = METRIC.weigh(ExpertLoad(0, 0, 0, 2, (), (), ()), {})
    assert nobody.status == "nodata" and nobody.reason == "20 more answers needed."
    (few,) = METRIC.weigh(told(*loads(np.random.default_rng(1), 6, np.full(4, 0.25), 4.0)), {})
    assert few.status == "nodata" and few.estimate.needed > 13 and few.estimate.n == 6


@pytest.mark.parametrize(
    "answer",
    [
        None, [], {}, {"load": 3}, {"load": {"answers": 4}},
        {"load": dict(zip(ExpertLoad.__slots__, (4, 9, 9, 1, [[1, 2]], [[1]], [[1, 2]]), strict=True))},
        {"load": dict(zip(ExpertLoad.__slots__, (4, 9, 9, 1, [], [], []), strict=True))},
        {"load": dict(zip(ExpertLoad.__slots__, (4, 9, 9, 0, [[1]], [[1]], [[1]]), strict=True))},
    ],
)  # fmt: skip
def test_what_is_no_load_is_not_read_as_one(answer: Any) -> None:
    with pytest.raises(Unavailable):
        read_load(answer)
