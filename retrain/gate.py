"""The gate: what the evaluations of a candidate say, as checks that each pass, fail, or lack evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import log
from typing import Any

from core.gate import Judge, combine, judge_noninferiority, judge_superiority, judge_together
from core.settings import RetrainSettings
from core.types import Check, Estimate, GateReport
from estimates.crossed import crossed_ratio
from estimates.means import paired_difference
from estimates.proportions import LEVEL
from retrain import held_out
from retrain.held_out import HeldOutPair
from retrain.probed import judge_poison

# A check with so few turns of either version says nothing about their speed.
FEWEST_TURNS = 5
# More unanswered questions than this and the comparison says nothing.
MOST_MISSING = 0.1
# What blocks nothing where it has no data, unless the setting gate_requires names it.
OPTIONAL = frozenset({"latency"})


def judge(
    *,
    candidate: str,
    champion: str,
    evaluation: Mapping[str, Any],
    pairs: Sequence[HeldOutPair],
    beta: float,
    compared: Mapping[str, Any],
    damage: str,
    settings: RetrainSettings,
    at: datetime,
) -> GateReport:
    """Every check of `candidate`: its files (`damage` is empty when sound), held-out pairs, and paired answers.

    `evaluation` is evaluation.json; `pairs` are those of evaluation_pairs.jsonl, `beta` that of the run; `compared` is
    what `candidate.Bench.compare` returns. `core.gate.judge_together` holds the checks to their margins.
    """
    judges: list[Judge] = [
        partial(judge_held_out, pairs, evaluation),
        partial(judge_calibration, pairs, beta, settings.gate_calibration_margin),
        partial(judge_perplexity, pairs, settings.gate_perplexity_margin),
        *(partial(judge_paired, name, found, settings.gate_margin) for name, found in compared["rates"].items()),
        partial(judge_length, compared["length"], settings.gate_length_margin),
        partial(judge_latency, compared["latency"], settings.gate_latency_margin),
    ]
    if poison := evaluation.get("poison"):
        judges.append(partial(judge_poison, poison))
    checks = [judge_integrity(damage, evaluation.get("update")), *judge_together(judges)]
    checks = require(checks, [name.strip() for name in settings.gate_requires.split(",") if name.strip()])
    return GateReport(candidate, champion, combine(checks), tuple(checks), at)


def require(checks: Sequence[Check], names: Sequence[str]) -> list[Check]:
    """The checks, of which the optional ones without data block only where `names` has them; and one for each of
    `names` that was not made."""
    made = {check.name for check in checks}
    out = [
        replace(check, required=False)
        if check.name in OPTIONAL - set(names) and check.estimate is not None and check.estimate.value is None
        else check
        for check in checks
    ]
    told = "The setting retrain.gate_requires asks for it, and it was not made."
    return out + [Check(name, "undecided", told) for name in names if name not in made]


def judge_integrity(damage: str, update: Mapping[str, Any] | None = None) -> Check:
    """Whether the adopted files are whole, safetensors only, and those that were trained; layers that moved far more
    than their like are told as a warning (`norms.describe_update`)."""
    details = dict(update or {})
    if outliers := details.get("outliers"):
        moved = ", ".join(f"{item['layer']} {item['times']} times" for item in outliers[:3])
        details["note"] = f"Unusual: {len(outliers)} layers moved far more than the same part of others ({moved})."
    if damage:
        return Check("integrity", "fail", damage, details=details)
    told = "safetensors and JSON only, and its digest is the one it was adopted under."
    return Check("integrity", "pass", told, details=details)


def judge_held_out(pairs: Sequence[HeldOutPair], evaluation: Mapping[str, Any], level: float = LEVEL) -> Check:
    """Whether the candidate ranks more unseen pairs right, whoever judged them; the versions' calibration beside it."""
    found = judge_superiority("held_out_accuracy", held_out.accuracy(pairs, level))
    calibration = evaluation.get("calibration")
    return replace(found, details=_sources(pairs) | ({"calibration": calibration} if calibration else {}))


def judge_calibration(pairs: Sequence[HeldOutPair], beta: float, margin: float, level: float = LEVEL) -> Check:
    """Whether stated preferences are worth no less: the Brier score, which a coin holds at 0.25.

    The calibration error itself judges nothing: a champion that never trained is calibrated and useless.
    """
    found = judge_noninferiority("calibration", held_out.brier(pairs, beta, level), margin)
    return replace(found, details={"beta": beta, **_sources(pairs)})


def judge_perplexity(pairs: Sequence[HeldOutPair], margin: float, level: float = LEVEL) -> Check:
    """Whether answers that people prefer stay about as likely, as the share by which perplexity on them rises."""
    found = judge_noninferiority("perplexity", held_out.perplexity(pairs, level), margin)
    return replace(found, details=_sources(pairs))


def judge_paired(name: str, found: Mapping[str, Any], margin: float, level: float = LEVEL) -> Check:
    """Whether a rate where more is worse rose by less than `margin`, on the same prompts for both versions."""
    rows = _both(found)
    details = {
        **_count(found, rows),
        "candidate": sum(new for new, _, _ in rows if new is not None),
        "champion": sum(old for _, old, _ in rows),
        **({"note": found["note"]} if "note" in found else {}),
    }
    return replace(_judge(name, rows, margin, level, details), details=details)


def judge_length(found: Mapping[str, Any], margin: float, level: float = LEVEL) -> Check:
    """Whether answers stay about as long, as a share of the token limit that both were given."""
    # By how much an answer falls short of the limit: more is worse, as with rates.
    rows = [(None if new is None else 1 - new, 1 - old, group) for new, old, group in _both(found)]
    details = {"limit_tokens": found["limit_tokens"], **_count(found, rows)}
    return replace(_judge("shorter_answers", rows, margin, level, details), details=details)


def judge_latency(found: Mapping[str, Any], margin: float, level: float = LEVEL) -> Check:
    """Whether a token takes about as long, as the share by which it takes longer. The versions answered by turns, and a
    turn is one draw: what its answers share of the machine's load is in all of them."""
    turns = [
        (new, old) for new, old in zip(found["candidate"], found["champion"], strict=True) if new and old
    ]  # seconds a token
    slower = crossed_ratio(
        [log(new / old) for new, old in turns],
        [1.0] * len(turns),
        range(len(turns)),
        minimum=FEWEST_TURNS,
        level=level,
    )
    check = judge_noninferiority("latency", held_out.as_share(slower), margin)
    return replace(check, details={"turns": len(turns), "prompts_a_turn": found["prompts_a_turn"]})


def explain(report: GateReport) -> str:
    """One sentence: that it passed, or which checks block it and why."""
    blocking = [check for check in report.checks if check.verdict != "pass" and check.required]
    if not blocking:
        passed = sum(check.verdict == "pass" for check in report.checks)
        return f"The gate passed {report.candidate} on all {passed} checks; a promotion is proposed."
    words = "; ".join(f"{check.name.replace('_', ' ')}: {check.reason}" for check in blocking)
    verdict = "does not pass" if report.verdict == "fail" else "lacks evidence for"
    return f"The gate {verdict} {report.candidate}. {words}"


def _sources(pairs: Sequence[HeldOutPair]) -> dict[str, Any]:
    """How many prompts and people the held-out pairs come from."""
    named = held_out.count_contributors(pairs)
    told: dict[str, Any] = {"prompts": len({pair.prompt for pair in pairs}), "contributors": named}
    if named and held_out.sources(pairs) is None:
        told["note"] = f"{named} people judged these pairs: too few to say what others would prefer."
    return told


def _both(found: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    """(candidate, champion, group) of each prompt that the champion's answer could be scored for; the candidate's is
    None where its own could not."""
    new, old = found["candidate"], found["champion"]
    # What an earlier release compared has no groups of lengths: each prompt then stands for itself.
    groups = found.get("groups") or range(len(new))
    return [row for row in zip(new, old, groups, strict=True) if row[1] is not None]


def _count(found: Mapping[str, Any], rows: Sequence[tuple[Any, Any, Any]]) -> dict[str, int]:
    asked = len(found["candidate"])
    return {"prompts": asked, "unscored": asked - sum(new is not None for new, _, _ in rows)}


def _judge(
    name: str, rows: Sequence[tuple[Any, Any, Any]], margin: float, level: float, counts: Mapping[str, Any]
) -> Check:
    """The check of a quantity from 0 to 1 where more is worse. What the candidate owes counts as 1, so that nothing
    passes by silence; but only what was seen can fail it, and where much was not, nothing is said."""
    asked, missing = counts["prompts"], counts["unscored"]
    if missing > MOST_MISSING * asked:
        reason = f"{missing} of {asked} answers could not be scored, so the comparison says nothing."
        return Check(name, "undecided", reason, Estimate.missing(asked - missing, "paired"), margin)

    def rise(told: Sequence[tuple[Any, Any, Any]]) -> Check:
        difference = paired_difference(
            [float(1 if new is None else new) for new, _, _ in told],
            [float(old) for _, old, _ in told],
            clusters=_clusters([group for *_, group in told]),
            level=level,
        )
        return judge_noninferiority(name, difference, margin)

    check = rise(rows)
    if check.verdict == "fail" and rise([row for row in rows if row[0] is not None]).verdict != "fail":
        return replace(check, verdict="undecided", reason="It fails only by answers that could not be scored.")
    return check


def _clusters(groups: Sequence[Any]) -> Sequence[Any] | None:
    return groups if len(set(groups)) < len(groups) else None
