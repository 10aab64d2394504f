"""The mixture test: shares of known topics that shift are found, strata are respected, the promise is kept."""

import numpy as np
import pytest

from monitors.statistics.drift import DriftDetector
from monitors.statistics.windows import EVERY, MixtureTest


def prompts(rng, n, shares):
    """Return n unit embeddings, each near one of the eight topics that `shares` weights."""
    topic = rng.choice(8, n, p=shares)
    rows = 1.5 * np.eye(16)[topic] + 0.4 * rng.normal(size=(n, 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


EVEN = np.full(8, 1 / 8)
UNEVEN = np.array([0.4, 0.02, 0.3, 0.02, 0.02, 0.2, 0.02, 0.02])


def fitted(seed, strata=None, alpha=0.02, n=300, horizon=1000, shares=EVEN):
    rng = np.random.default_rng([seed, 2])
    chosen = np.zeros(n, bool)
    chosen[: n // 3] = True
    codes = np.zeros(n, np.int32) if strata is None else strata
    rows = prompts(rng, n, shares)
    return rng, MixtureTest.fit(rows, codes, chosen, alpha, horizon, np.random.default_rng(seed))


def feed(test, rows, codes=None):
    levels = []
    for start in range(0, len(rows), EVERY):
        part = rows[start : start + EVERY]
        test.add(part, np.zeros(len(part), np.int32) if codes is None else codes[start : start + EVERY])
        levels.append(test.check())
    return levels


@pytest.mark.slow
def test_shifted_shares_of_known_topics_alarm_and_point_into_the_shift():
    rng, test = fitted(1)
    assert max(feed(test, prompts(rng, 200, EVEN))) < 1
    levels = feed(test, prompts(rng, 150, UNEVEN))
    assert max(levels) >= 1
    toward = test.leading()
    assert len(toward) == test.window
    last = test._last[-test.window :]
    top = last[np.argsort(-toward)[:10]].mean(axis=0) - test._calm.mean(axis=0)
    shift = last.mean(axis=0) - test._calm.mean(axis=0)
    assert top @ shift > 0


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
    told = MixtureTest.fit(rows, codes, chosen, 0.02, 400, np.random.default_rng(1))
    untold = MixtureTest.fit(rows, np.zeros_like(codes), chosen, 0.02, 400, np.random.default_rng(1))
    later, labels = blocks(8)
    assert max(feed(told, later, labels)) < 1
    assert max(feed(untold, later)) >= 1


@pytest.mark.slow
def test_promise_over_many_drift_free_histories():
    """200 histories of 4 checks at a promise of 0.2: over 68 alarms come less than once in 100,000 if it is kept."""
    alarms = 0
    for seed in range(200):
        rng, test = fitted(seed, alpha=0.2, n=120, horizon=100)
        alarms += max(feed(test, prompts(rng, 100, EVEN))) >= 1
    assert 1 <= alarms <= 68


@pytest.mark.slow
def test_a_check_repeats_itself_exactly_after_a_restart():
    rng, test = fitted(3)
    feed(test, prompts(rng, 100, EVEN))
    again = MixtureTest.restore(test.arrays(), test.words())
    more = prompts(rng, 100, UNEVEN)
    assert feed(again, more) == feed(test, more)
