"""The window tests: shares of known topics that shift and small moves of all prompts are found, strata are respected,
the promise is kept.
"""

import numpy as np
import pytest

from monitors.statistics.drift import DriftDetector
from monitors.statistics.features import Directions
from monitors.statistics.windows import DIFFUSE, MIXTURE, Shape, WindowTest


def prompts(rng, n, shares):
    """Return n unit embeddings, each near one of the eight topics that `shares` weights."""
    topic = rng.choice(8, n, p=shares)
    rows = 1.5 * np.eye(16)[topic] + 0.4 * rng.normal(size=(n, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def moved(rng, n, by=0.0):
    """Return n unit embeddings of eight topics that also vary a little in 48 directions; `by` moves all of them in
    each of those, in standard deviations.
    """
    rows = np.hstack([1.5 * np.eye(8)[rng.integers(8, size=n)], 0.1 * (rng.normal(size=(n, 48)) + by)])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


EVEN = np.full(8, 1 / 8)
UNEVEN = np.array([0.4, 0.02, 0.3, 0.02, 0.02, 0.2, 0.02, 0.02])


def fitted(seed, strata=None, alpha=0.02, n=300, horizon=1000, shares=EVEN, shape: Shape = MIXTURE):
    rng = np.random.default_rng([seed, 2])
    chosen = np.zeros(n, bool)
    chosen[: n // 3] = True
    codes = np.zeros(n, np.int32) if strata is None else strata
    rows = prompts(rng, n, shares)
    return rng, WindowTest.fit(shape, rows, codes, chosen, alpha, horizon, np.random.default_rng(seed))


def feed(test, rows, codes=None):
    levels = []
    every = test.shape.every
    for start in range(0, len(rows), every):
        part = rows[start : start + every]
        test.add(part, np.zeros(len(part), np.int32) if codes is None else codes[start : start + every])
        levels.append(test.check())
    return levels


@pytest.mark.slow
def test_shifted_shares_of_known_topics_alarm_and_point_into_the_shift():
    rng, test = fitted(1)
    assert max(feed(test, prompts(rng, 200, EVEN))) < 1
    levels = feed(test, prompts(rng, 150, UNEVEN))
    assert max(levels) >= 1
    toward = test.toward_shift()
    assert len(toward) == test.window
    last = test._last[-test.window :]
    top = last[np.argsort(-toward)[:10]].mean(axis=0) - test._calm.mean(axis=0)
    shift = last.mean(axis=0) - test._calm.mean(axis=0)
    assert top @ shift > 0


@pytest.mark.slow
def test_whole_detector_names_the_mixture_where_no_single_prompt_is_new():
    rng = np.random.default_rng(8)
    rows = prompts(rng, 500, EVEN)
    detector = DriftDetector.fit(rows, ["order"] * 500, alpha=0.05, seed=2, horizon=1000)
    quiet = detector.update(prompts(rng, 200, EVEN), ["order"] * 200)
    looks = detector.update(prompts(rng, 200, UNEVEN), ["order"] * 200)
    assert not any(look.alarm for look in quiet)
    alarm = next(look for look in looks if look.alarm)
    assert alarm.view == "mixture"
    assert detector.onset() >= 100
    assert {r.view for r in detector.responsible(5)} == {"mixture"}
    assert all(detector.onset() <= r.index < detector.seen for r in detector.responsible(5))


def test_a_small_move_of_all_prompts_is_found_as_such_and_dated():
    """A fifth of a standard deviation in directions that make up a sixth of the variance: no prompt is new, no topic
    grows."""
    rng = np.random.default_rng(5)
    detector = DriftDetector.fit(moved(rng, 500), ["order"] * 500, alpha=0.05, seed=2, horizon=1000)
    quiet = detector.update(moved(rng, 300), ["order"] * 300)
    assert not any(look.alarm for look in quiet)
    while detector.alarmed_at is None:
        looks = detector.update(moved(rng, 50, by=0.2), ["order"] * 50)
    assert detector.alarmed_at < 700
    assert looks[-1].view == "diffuse"
    assert 200 <= detector.onset() <= 420
    assert {r.view for r in detector.responsible(5)} == {"diffuse"}


def test_directions_weigh_small_ones_up_to_the_mean_variance_and_vanish_among_copies():
    rng = np.random.default_rng(6)
    rows = moved(rng, 4000)
    values = Directions.fit(rows, rng).apply(rows).astype(float)
    variances = np.sort(values.var(axis=0))
    assert values.var(axis=0).sum() == pytest.approx(1, abs=0.01)
    ratio = np.sort(np.linalg.eigvalsh(np.cov(rows, rowvar=False)))
    expected = ratio / (ratio + ratio.mean())
    np.testing.assert_allclose(variances, expected / expected.sum(), rtol=0.02, atol=1e-5)
    copies = np.repeat(rows[:1], 50, axis=0)
    assert not Directions.fit(copies, rng).apply(copies + np.float32(1e-6)).any()


def test_blocks_of_declared_strata_do_not_alarm():
    """Day and night ask for other topics in blocks of 50: permutation inside the strata keeps the promise."""
    rng = np.random.default_rng(4)
    night = np.array([0.3, 0.3, 0.3, 0.02, 0.02, 0.02, 0.02, 0.02])

    def blocks(n):
        return np.concatenate([prompts(rng, 50, night if k % 2 else EVEN) for k in range(n)]), np.repeat(
            np.arange(n, dtype=np.int32) % 2, 50
        )

    rows, codes = blocks(12)
    chosen = np.zeros(600, bool)
    chosen[rng.permutation(600)[:180]] = True
    told = WindowTest.fit(MIXTURE, rows, codes, chosen, 0.02, 400, np.random.default_rng(1))
    untold = WindowTest.fit(MIXTURE, rows, np.zeros_like(codes), chosen, 0.02, 400, np.random.default_rng(1))
    later, labels = blocks(8)
    assert max(feed(told, later, labels)) < 1
    assert max(feed(untold, later)) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("shape", [MIXTURE, DIFFUSE])
def test_promise_over_many_drift_free_histories(shape):
    """200 histories of 4 checks at a promise of 0.2: over 68 alarms come less than once in 100,000 if it is kept."""
    alarms, horizon = 0, 4 * shape.every
    for seed in range(200):
        rng, test = fitted(seed, alpha=0.2, n=120, horizon=horizon, shape=shape)
        alarms += max(feed(test, prompts(rng, horizon, EVEN))) >= 1
    assert 1 <= alarms <= 68


@pytest.mark.slow
@pytest.mark.parametrize("shape", [MIXTURE, DIFFUSE])
def test_a_check_repeats_itself_exactly_after_a_restart(shape):
    rng, test = fitted(3, shape=shape)
    feed(test, prompts(rng, 100, EVEN))
    again = WindowTest.restore(shape, test.arrays(), test.words())
    more = prompts(rng, 200, UNEVEN)
    assert feed(again, more) == feed(test, more)
