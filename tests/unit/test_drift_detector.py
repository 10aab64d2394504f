"""The prompt-drift detector: its promise by simulation, restarts, strata, refusals, and what it points at."""

import io
import time

import numpy as np
import pytest

from core.errors import InvalidInput
from monitors.statistics.drift import REFERENCE_MINIMUM, DriftDetector, Look
from monitors.statistics.views import NAMES

WORDS = ["where", "is", "my", "parcel", "refund", "order", "card", "late", "broken", "when", "cancel", "gift"]
OTHER_WORDS = ["kubernetes", "pod", "crash", "node", "ingress", "chart", "quota", "yaml", "rollout", "probe"]


def traffic(rng, n, *, topic=0, words=WORDS):
    """Return n unit embeddings around one of two centres and short texts."""
    centre = np.zeros(24)
    centre[topic] = 2.0
    rows = centre + rng.normal(size=(n, 24))
    texts = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(n)]
    return rows.astype(np.float32), texts


def fitted(seed=0, n=300, **options):
    rng = np.random.default_rng([seed, 1])
    rows, texts = traffic(rng, n)
    settings = {"alpha": 0.05, "seed": seed, "horizon": 1000} | options
    return rng, DriftDetector.fit(rows, texts, **settings)


def test_sudden_change_alarms_within_ten_prompts_and_only_once():
    rng, detector = fitted()
    quiet = detector.update(*traffic(rng, 200))
    looks = detector.update(*traffic(rng, 60, topic=5, words=OTHER_WORDS))
    assert not any(look.alarm for look in quiet)
    alarms = [look for look in looks if look.alarm]
    assert len(alarms) == 1
    assert detector.alarmed_at == alarms[0].index < 210
    assert looks[-1].firing
    assert 195 <= detector.onset() <= 205
    assert {r.index >= 195 for r in detector.responsible(10)} == {True}
    assert detector.responsible(3)[0].view in NAMES


def test_firing_ends_when_the_change_is_over():
    rng, detector = fitted()
    detector.update(*traffic(rng, 20, topic=5))
    assert detector.update(*traffic(rng, 1))[-1].firing
    assert not detector.update(*traffic(rng, 900))[-1].firing


@pytest.mark.slow
def test_novel_share_rises_with_the_change_and_carries_an_interval():
    rng, detector = fitted()
    assert detector.novel_share().value is None
    detector.update(*traffic(rng, 200))
    before = detector.novel_share()
    detector.update(*traffic(rng, 200, topic=5))
    after = detector.novel_share()
    assert before.high < after.low
    assert before.low <= 0.05 <= before.high


def test_state_survives_a_restart_exactly_and_calls_may_be_cut_anywhere():
    rng, whole = fitted()
    rows, texts = traffic(rng, 150)
    new_rows, new_texts = traffic(rng, 30, topic=5)
    rows, texts = np.concatenate([rows, new_rows]), texts + new_texts
    _, cut = fitted()
    expected = whole.update(rows, texts)
    got: list[Look] = []
    for start in range(0, 180, 7):
        cut = DriftDetector.from_bytes(cut.to_bytes())
        got += cut.update(rows[start : start + 7], texts[start : start + 7])
    assert [(look.index, look.alarm, look.view) for look in got] == [(x.index, x.alarm, x.view) for x in expected]
    np.testing.assert_allclose([x.p for x in got], [x.p for x in expected], atol=0.02)
    assert cut.alarmed_at == whole.alarmed_at
    assert cut.novel_share() == whole.novel_share()


def test_state_holds_no_pickle():
    _, detector = fitted()
    with np.load(io.BytesIO(detector.to_bytes()), allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04junk", b"\x80\x04N.", b"x" * 100])
def test_junk_state_is_refused_in_a_sentence(junk):
    with pytest.raises(InvalidInput, match="cannot be read"):
        DriftDetector.from_bytes(junk)


def test_copies_of_one_prompt_do_not_alarm_however_the_encoder_rounds():
    """One template, embedded with a constant error of the last digits in the stream, is not a change."""
    rng = np.random.default_rng(3)
    row = rng.normal(size=(1, 24)).astype(np.float32)
    detector = DriftDetector.fit(np.repeat(row, 300, 0), ["where is it"] * 300, alpha=0.05, seed=1, horizon=600)
    shifted = np.repeat(row + np.float32(1e-6), 600, 0)
    looks = detector.update(shifted, ["where is it"] * 600)
    assert not any(look.alarm for look in looks)


def test_declared_strata_keep_a_rhythm_from_alarming():
    """Night prompts differ and come in blocks: a detector told of the strata stays quiet, one of days alone
    not.
    """
    rng = np.random.default_rng(5)
    parts = [(traffic(rng, 60, topic=6 * (k % 2)), ["night" if k % 2 else "day"] * 60) for k in range(16)]
    rows = np.concatenate([p[0][0] for p in parts])
    texts = [t for p in parts for t in p[0][1]]
    strata = [s for p in parts for s in p[1]]
    options = {"alpha": 0.05, "seed": 1, "horizon": 360}
    told = DriftDetector.fit(rows[:600], texts[:600], strata=strata[:600], **options)
    # Without strata the blocks are not exchangeable with a reference taken by day alone.
    untold = DriftDetector.fit(rows[:600][np.array(strata[:600]) == "day"], texts[:300], **options)
    assert not any(x.alarm for x in told.update(rows[600:], texts[600:], strata[600:]))
    assert any(x.alarm for x in untold.update(rows[600:], texts[600:]))


@pytest.mark.slow
def test_conversations_alarm_when_each_of_their_prompts_is_counted_and_not_when_the_first_is():
    """Each conversation stays near its own subject for ten prompts: only first prompts are exchangeable
    units.
    """
    rng = np.random.default_rng(9)

    def conversations(n):
        subjects = 1.5 * rng.normal(size=(n, 1, 24))
        return (subjects + 0.1 * rng.normal(size=(n, 10, 24))).astype(np.float32)

    options = {"alpha": 0.05, "seed": 1, "horizon": 1000}
    reference, later = conversations(300), conversations(100)
    first = DriftDetector.fit(reference[:, 0], ["ask"] * 300, **options)
    every = DriftDetector.fit(reference[:, 0], ["ask"] * 300, **options)
    assert not any(x.alarm for x in first.update(later[:, 0], ["ask"] * 100))
    assert any(x.alarm for x in every.update(later.reshape(1000, 24), ["ask"] * 1000))


@pytest.mark.slow
def test_cost_does_not_grow_with_the_history():
    """CPU of 300 prompts after 8,000 is at most twice that after 1,000 (the ranks take a little longer)."""
    rng, detector = fitted(horizon=10_000)
    seconds = []
    for before in (1000, 7000):
        detector.update(*traffic(rng, before - 300))
        rows, texts = traffic(rng, 300)
        started = time.process_time()
        detector.update(rows, texts)
        seconds.append(time.process_time() - started)
    assert seconds[1] <= 2 * seconds[0] + 0.02


def test_refusals_name_the_remedy():
    rng = np.random.default_rng(0)
    rows, texts = traffic(rng, REFERENCE_MINIMUM)
    options = {"alpha": 0.05, "seed": 1, "horizon": 50}
    with pytest.raises(InvalidInput, match="10 more are needed"):
        DriftDetector.fit(rows[:-10], texts[:-10], **options)
    with pytest.raises(InvalidInput, match="one row"):
        DriftDetector.fit(rows, texts[:-1], **options)
    with pytest.raises(InvalidInput, match="not a number"):
        DriftDetector.fit(np.where(np.arange(24) == 3, np.nan, rows), texts, **options)
    with pytest.raises(InvalidInput, match="strata"):
        DriftDetector.fit(rows, texts, strata=["a"], **options)
    detector = DriftDetector.fit(rows, texts, **options)
    with pytest.raises(InvalidInput, match="room for 50"):
        detector.update(rows[:51], texts[:51])
    with pytest.raises(InvalidInput, match="one encoder"):
        detector.update(rows[:5, :10], texts[:5])
    assert detector.update(rows[:0], []) == []


@pytest.mark.slow
def test_false_alarms_of_the_whole_detector_stay_inside_the_budget():
    """100 drift-free histories at budget 0.3: over 50 alarms come less than once in 50,000 if it is kept."""
    alarms = 0
    for seed in range(100):
        rng, detector = fitted(seed, n=120, alpha=0.3, horizon=150)
        alarms += any(look.alarm for look in detector.update(*traffic(rng, 150)))
    assert alarms <= 50


@pytest.mark.slow
def test_false_alarms_stay_inside_the_budget_while_a_part_of_the_day_fills():
    """As above: nights, which ask for other things, fill a reference of their own, then take turns with days."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 3])
        detector = DriftDetector.fit(*traffic(rng, 120), alpha=0.3, seed=seed, horizon=150, strata=["day"] * 120)
        found = []
        for _ in range(4):
            detector.fill(*traffic(rng, 25, topic=6), ["night"] * 25)
            found += detector.update(*traffic(rng, 20), ["day"] * 20)
        for _ in range(2):
            found += detector.update(*traffic(rng, 25, topic=6), ["night"] * 25)
            found += detector.update(*traffic(rng, 10), ["day"] * 10)
        alarms += any(look.alarm for look in found)
    assert alarms <= 50
