"""A gate's checks together: passes as an intersection-union test does, fails as Holm's procedure rejects."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.gate import ALPHA, Judge, combine, judge_together
from core.types import Check

# How small an error of a single check can be: the tail of its interval that just excludes the margin, from above the
# margin (worse) when the number is below 0, else from under it (no worse). Never just at a limit.
TAILS = st.lists(st.integers(-5000, 5000).filter(bool).map(lambda n: n / 10_007), min_size=1, max_size=12)


def judge_of(name: str, tail: float) -> Judge:
    def judge(level: float) -> Check:
        decided = abs(tail) < (1 - level) / 2
        return Check(name, "undecided" if not decided else "fail" if tail < 0 else "pass", "")

    return judge


def textbook(tails: list[float]) -> set[int]:
    """Which of the claims "worse" Holm (1979) makes: in the order of their errors, while each is under its share."""
    errors = sorted((-tail if tail < 0 else 1.0, place) for place, tail in enumerate(tails))
    proved: set[int] = set()
    for rank, (error, place) in enumerate(errors):
        if error > ALPHA / (len(tails) - rank):
            break
        proved.add(place)
    return proved


@settings(max_examples=60)
@given(TAILS)
def test_fails_are_holms_and_passes_are_each_checks_own(tails: list[float]) -> None:
    checks = judge_together([judge_of(str(place), tail) for place, tail in enumerate(tails)])
    assert {place for place, check in enumerate(checks) if check.verdict == "fail"} == textbook(tails)
    assert [check.verdict == "pass" for check in checks] == [0 < tail < ALPHA for tail in tails]
    assert [check.name for check in checks] == [str(place) for place in range(len(tails))]
    verdict = combine(checks)
    assert (verdict == "pass") == all(0 < tail < ALPHA for tail in tails), "one check that does not pass blocks"
    assert verdict != "fail" or any(-ALPHA / len(tails) < tail < 0 for tail in tails)


def test_what_only_looks_worse_is_undecided_and_says_why() -> None:
    alone = judge_together([judge_of("refusals", -0.02)])
    among = judge_together([judge_of("refusals", -0.02), *(judge_of(str(n), 0.001) for n in range(9))])
    assert (alone[0].verdict, among[0].verdict) == ("fail", "undecided")
    assert "not surely among 10 checks (Holm)" in among[0].reason


def test_a_check_that_is_not_required_blocks_only_when_it_fails() -> None:
    good, missing, bad = Check("a", "pass", ""), Check("b", "undecided", "", required=False), Check("b", "fail", "")
    assert combine([good, missing]) == "pass"
    assert combine([good, bad]) == "fail"
