"""How a gate's checks make one verdict: a fail blocks, an undecided check blocks too, and says what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from core.types import Check, Estimate, Verdict


def combine(checks: Sequence[Check]) -> Verdict:
    """fail if any check fails, undecided if any is undecided or there is none, otherwise pass."""
    verdicts = {check.verdict for check in checks}
    if "fail" in verdicts:
        return "fail"
    return "undecided" if "undecided" in verdicts or not checks else "pass"


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
