"""The promise of doubting labels: the lower limit of the share turned is above the truth in at most LEVEL of lots."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from retrain.pairs.customs.labels import LEVEL, Labels, judge, weight

LOTS = 80


def draw(
    rng: np.random.Generator, pairs: int, turned: float, *, strength: float, asked: float = 1.0
) -> tuple[Labels, np.ndarray]:
    """A lot of Bradley-Terry labels, two pairs a prompt, judged by two margins of which one knows only half, and the
    other says something only of the share `asked` of the pairs."""
    of_prompt = np.repeat(rng.normal(0, strength, pairs // 2), 2)
    better = np.where(rng.random(pairs) < 1 / (1 + np.exp(-of_prompt)), 1, -1)
    wrong = rng.random(pairs) < turned
    label = np.where(wrong, -better, better)
    blurred = of_prompt + rng.normal(0, strength, pairs)
    told = np.where(np.arange(pairs) < asked * pairs, label * of_prompt, np.nan)
    return judge([told, label * blurred], np.repeat(np.arange(pairs // 2), 2)), wrong


@pytest.mark.slow
@pytest.mark.parametrize(("turned", "asked"), [(0.0, 1.0), (0.1, 1.0), (0.3, 1.0), (0.0, 0.3), (0.3, 0.3)])
def test_the_lower_limit_is_above_the_truth_as_rarely_as_promised(turned: float, asked: float) -> None:
    rng = np.random.default_rng(round(100 * turned) + 7)
    above = beyond = 0
    for _ in range(LOTS):
        labels, _ = draw(rng, 400, turned, strength=3.0, asked=asked)
        above += labels.least > turned
        beyond += labels.share > turned
    # False failure under 1 in 10,000 for a limit that keeps its promise exactly.
    limit = binom.isf(1e-4, LOTS, LEVEL)
    assert above <= limit
    # The best guess is no limit: it fails where the limit holds.
    assert turned == 0 or beyond > limit


@pytest.mark.slow
def test_turned_labels_are_found_where_the_model_knows_and_not_invented_where_it_does_not() -> None:
    rng = np.random.default_rng(3)
    strong = [draw(rng, 800, 0.1, strength=4.0) for _ in range(20)]
    assert sum(labels.least > 0.03 for labels, _ in strong) >= 18
    # Where the model is unsure nobody can tell; of what is held most is wrong.
    wrong = np.concatenate([turned for _, turned in strong])
    held = np.concatenate([labels.right < 0.5 for labels, _ in strong])
    assert held[wrong].mean() > 0.3
    assert wrong[held].mean() > 0.7
    blind = 0
    for _ in range(LOTS):
        blind += judge([rng.normal(0, 1, 400)], np.arange(400)).least > 0
    assert blind <= binom.isf(1e-4, LOTS, LEVEL)


def test_a_pair_teaches_less_the_more_its_label_is_doubted_and_never_the_opposite() -> None:
    assert [weight(right) for right in (1.0, 0.75, 0.5, 0.2)] == [1.0, 0.5, 0.0, 0.0]


def test_labels_that_a_sure_model_never_contradicts_are_all_believed() -> None:
    labels = judge([np.full(60, 9.0)], np.arange(60))
    assert labels.least == 0
    assert (labels.right > 0.99).all()
