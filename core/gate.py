"""How a gate's checks make one verdict: a fail blocks, an undecided check blocks too, and says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from core.types import Check, Estimate, Verdict

# The one-sided error of a gate: of letting a candidate pass that is worse on any check, and of failing one that is not.
ALPHA = 0.025
# A check at a confidence level of its two-sided interval.
Judge = Callable[[float], Check]


def combine(checks: Sequence[Check]) -> Verdict:
    """fail if any check fails, undecided if any that is required is undecided or there is none, otherwise pass."""
    if any(check.verdict == "fail" for check in checks):
        return "fail"
    undecided = any(check.verdict == "undecided" and check.required for check in checks)
    return "undecided" if undecided or not checks else "pass"


def judge_together(judges: Sequence[Judge], alpha: float = ALPHA) -> list[Check]:
    """The verdicts of all checks of one gate, each against its margin.

    Pass is judged at `alpha` for each check alone: a candidate goes on only when every check passes, so one that is
    worse on any of them does with probability at most `alpha` (intersection-union test: Berger, Technometrics 24,
    1982). Fail is the claim "worse than the margin", made by any one check: those are corrected by Holm's step-down
    procedure (Scandinavian Journal of Statistics 6, 1979), so that a candidate that is worse on no check fails with
    probability at most `alpha` however many there are. What only fails uncorrected is undecided.
    """
    found = [judge(1 - 2 * alpha) for judge in judges]
    open_ones = {place for place, check in enumerate(found) if check.verdict == "fail"}
    left = len(judges)
    while open_ones:
        level = 1 - 2 * alpha / left
        proved = {place for place in open_ones if judges[place](level).verdict == "fail"}
        if not proved:
            break
        open_ones -= proved
        left -= len(proved)
    told = f"It looks worse, but not surely among {len(judges)} checks (Holm): not enough evidence."
    return [
        replace(check, verdict="undecided", reason=told) if place in open_ones else check
        for place, check in enumerate(found)
    ]


def judge_superiority(name: str, difference: Estimate, limit: float = 0.0) -> Check:
    """Pass when the whole interval of candidate minus champion is above `limit`, fail when all of it is below."""
    if difference.value is None or difference.low is None or difference.high is None:
        return Check(name, "undecided", _missing(difference), difference, limit)
    if difference.low > limit:
        return Check(name, "pass", "The candidate is better: the whole interval is above the limit.", difference, limit)
    if difference.high < limit:
        return Check(name, "fail", "The candidate is worse: the whole interval is below the limit.", difference, limit)
    return Check(name, "undecided", "The interval contains the limit: not enough evidence.", difference, limit)


def judge_noninferiority(name: str, increase: Estimate, margin: float) -> Check:
    """For a quantity where more is worse: pass when the interval of the increase stays under `margin`."""
    if increase.value is None or increase.low is None or increase.high is None:
        return Check(name, "undecided", _missing(increase), increase, margin)
    if increase.high < margin:
        return Check(name, "pass", "No worse than the margin allows.", increase, margin)
    if increase.low > margin:
        return Check(name, "fail", "Worse than the margin allows.", increase, margin)
    return Check(name, "undecided", "The interval reaches past the margin: not enough evidence.", increase, margin)


def _missing(estimate: Estimate) -> str:
    more = f": {estimate.needed} more needed" if estimate.needed else ""
    return f"Not enough data ({estimate.n} rows){more}."
