"""The tracker of kinds: its promise by simulation, the changes it finds and names, restarts and refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from monitors import shares
from monitors.metrics import Unit

AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
KINDS = ("en", "de", "fr", "pl", "tr")
USUAL = [0.7, 0.2, 0.1, 0, 0]


def units(rng, n, p=USUAL):
    return [Unit(i + 1, i + 1, AT, "", float(code)) for i, code in enumerate(rng.choice(len(KINDS), n, p=p))]


def started(seed=0, n=200, **settings):
    rng = np.random.default_rng([seed, 9])
    wanted = {"alpha": 0.05, "horizon": 1000, "seed": seed} | settings
    return rng, shares.started("kinds", "The kinds moved.", KINDS, units(rng, n), **wanted)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "p"), [(50, USUAL), (50, [0.96, 0.04, 0, 0, 0]), (200, [0.2] * 5)], ids=str)
def test_false_alarms_stay_inside_the_budget_however_small_the_reference(n, p):
    """150 histories at budget 0.2: over 50 alarms come less than once in 10,000 if the promise is kept."""
    alarms = 0
    for seed in range(150):
        rng = np.random.default_rng([seed, n])
        tracker = shares.started("kinds", "", KINDS, units(rng, n, p), alpha=0.2, horizon=150, seed=seed)
        alarms += tracker.update(units(rng, 150, p)).alarm
    assert alarms <= 50


@pytest.mark.parametrize(
    ("p", "grown"),
    [([0.6, 0.2, 0.1, 0.1, 0], "pl"), ([0.4, 0.5, 0.1, 0, 0], "de"), ([0.9, 0.1, 0, 0, 0], "en")],
    ids=["a new kind", "a kind grows", "a kind dies out"],
)
def test_a_change_of_the_shares_is_found_and_the_kind_that_grew_is_named(p, grown):
    rng, tracker = started(3)
    assert not tracker.update(units(rng, 200)).alarm
    assert tracker.measure()[0].status == "ok"
    assert tracker.update(units(rng, 300, p)).alarm
    measured, why = tracker.measure()[0], tracker.why()
    assert measured.status == "breach" and f"Most grown: {grown}" in why["view_words"]
    assert why["rows"][0]["view"] == grown
    assert measured.details["shares"][grown]["now"] > measured.details["shares"][grown]["reference"]


def test_the_number_shown_is_the_share_outside_the_usual_kind():
    rng, tracker = started(1)
    stream = units(rng, 260)
    tracker.update(stream)
    (measured,) = tracker.measure()
    assert measured.details["usual"] == "en"
    assert measured.estimate.value == pytest.approx(np.mean([unit.value != 0 for unit in stream[-200:]]))
    assert measured.estimate.low <= measured.estimate.value <= measured.estimate.high
    assert tracker.reference["n"] == 200


def test_a_restart_goes_on_exactly():
    rng, one = started(2)
    stream = units(rng, 300)
    _, other = started(2)
    one.update(stream)
    for start in range(0, 300, 41):
        other.update(stream[start : start + 41])
        other = shares.restored("kinds", "The kinds moved.", KINDS, other.to_bytes())
    assert other.measure() == one.measure() and other.why() == one.why()


def test_a_state_of_other_kinds_begins_anew():
    _, tracker = started()
    with pytest.raises(InvalidInput, match="other kinds"):
        shares.restored("kinds", "", KINDS[:4], tracker.to_bytes())


@pytest.mark.parametrize("value", [-1.0, 5.0, 0.5, float("nan"), None])
def test_a_value_that_is_no_kind_is_refused_and_leaves_no_trace(value):
    rng, tracker = started()
    before = tracker.to_bytes()
    with pytest.raises(InvalidInput):
        tracker.update([*units(rng, 3), Unit(9, 9, AT, "", value)])
    assert tracker.to_bytes() == before
    with pytest.raises(InvalidInput):
        shares.started("kinds", "", KINDS, [*units(rng, 60), Unit(9, 9, AT, "", value)], alpha=0.1, horizon=9, seed=0)


@given(st.lists(st.integers(0, 4), max_size=40))
def test_ranks_are_a_permutation_from_the_commonest_to_the_rarest(codes):
    ranks = shares.rank(codes, KINDS)
    assert sorted(ranks) == list(range(5))
    ordered = sorted(range(5), key=lambda kind: ranks[kind])
    seen = [codes.count(kind) for kind in ordered]
    assert seen == sorted(seen, reverse=True)
    assert [shares.rarity(kind, ranks) for kind in ordered] == [0, 0.25, 0.5, 0.75, 1]
