"""However monitors come, go and ask, the grants of a period never add up to more than its budget."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from monitors.statistics.budget import MOST, Budget

names = st.sampled_from("abcde")
divisions = st.dictionaries(names, st.tuples(st.floats(0.01, 100), st.integers(1, 20)), min_size=1)
replans = st.tuples(st.just("expect"), names, st.integers(1, 3000))
steps = st.lists(st.one_of(st.tuples(names, st.integers(0, 40)), divisions, replans), max_size=60)


def parts(division):
    return {k: w for k, (w, _) in division.items()}, {k: n for k, (_, n) in division.items()}


@given(st.floats(0.001, 20), divisions, steps)
def test_spending_never_exceeds_the_total(total, first, walk):
    ledger = Budget.open(total, *parts(first))
    for step in walk:
        if isinstance(step, dict):
            ledger = ledger.divide(*parts(step))
            continue
        if step[0] == "expect":
            if step[1] in ledger.shares:
                ledger = ledger.expect(*step[1:])
            continue
        monitor, epoch = step
        if monitor not in ledger.shares and str(epoch) not in ledger.grants.get(monitor, {}):
            with pytest.raises(InvalidInput, match="no share"):
                ledger.grant(monitor, str(epoch))
            continue
        ledger, alpha = ledger.grant(monitor, str(epoch))
        assert 0 <= alpha <= MOST
        assert ledger.spent <= total * (1 + 1e-9)
        assert sum(s.amount for s in ledger.shares.values()) <= total * (1 + 1e-9)


@given(divisions, st.integers(1, 60))
def test_a_monitor_keeps_to_its_weight_and_never_runs_dry(division, count):
    ledger = Budget.open(0.3, *parts(division))
    monitor = min(division)
    for i in range(count):
        ledger, alpha = ledger.grant(monitor, f"epoch {i}")
        assert alpha > 0
    weights = parts(division)[0]
    assert ledger.spent_by(monitor) <= 0.3 * weights[monitor] / sum(weights.values()) * (1 + 1e-9)


@given(st.floats(0.001, 1), divisions)
def test_asking_again_after_a_restart_gives_the_same_and_spends_nothing(total, division):
    ledger = Budget.open(total, *parts(division))
    monitor = max(division)
    ledger, alpha = ledger.grant(monitor, "week 1")
    again = Budget.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert again == ledger
    assert again.grant(monitor, "week 1") == (again, alpha)


def test_equal_monitors_share_equally_over_their_epochs():
    ledger = Budget.open(0.6, {"drift": 2.0, "refusals": 1.0}, {"drift": 12, "refusals": 3})
    _, drift = ledger.grant("drift", "january")
    _, refusals = ledger.grant("refusals", "spring")
    assert drift == pytest.approx(0.9 * 0.4 / 12)
    assert refusals == pytest.approx(0.9 * 0.2 / 3)


def test_what_is_left_does_for_many_short_epochs():
    ledger, first = Budget.open(0.4, {"drift": 1.0}, {"drift": 4}).grant("drift", "one")
    ledger, second = ledger.expect("drift", 100).grant("drift", "two")
    assert first == pytest.approx(0.9 * 0.4 / 4)
    assert second == pytest.approx(0.9 * (0.4 - first) / 100)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Budget.open(0.0, {"a": 1.0}, {"a": 1}),
        lambda: Budget.open(float("nan"), {"a": 1.0}, {"a": 1}),
        lambda: Budget.open(1.0, {"a": 0.0}, {"a": 1}),
        lambda: Budget.open(1.0, {"a": 1.0}, {}),
        lambda: Budget.open(1.0, {"a": 1.0}, {"a": 1}).expect("b", 3),
        lambda: Budget.open(1.0, {"a": 1.0}, {"a": 1}).expect("a", 0),
        lambda: Budget.from_dict({"total": 1}),
        lambda: Budget.from_dict({"total": 1, "shares": {"a": {"b": 1}}, "grants": {}}),
    ],
)
def test_impossible_ledgers_are_refused(call):
    with pytest.raises(InvalidInput) as refusal:
        call()
    assert refusal.value.remedy
