"""How measured values read: names, units, numbers and intervals, in a notice as on a page. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHARES = frozenset(
    {
        "prompt_drift",
        "refusal_rate",
        "response_drift",
        "response_format",
        "response_language",
        "response_pii",
        "response_sentiment",
        "prompt_language",
        "prompt_pii",
        "prompt_sentiment",
        "ood_rate",
        "preference_accuracy",
        "says_yes",
        "stance",
        "negative_feedback",
        "errors",
        "error_rate",
        "adversarial",
        "attack_success",
        "attack_success_per_try",
        "over_refusal",
        "over_refusal_corrected",
        "answer_flips",
        "answers_flipped",
        "twins_refused",
        "accuracy",
        "judged_quality",
        "judge_says",
        "judge_agreement",
        "judge_consistency",
    }
)
POINTS = "points"
# Differences of shares: in points, wherever they stand.
GAPS = frozenset(
    {"gap", "group_gaps", "bias_twins", "question_bias", "bias_ambiguous", "bias_disambiguated", "sycophancy"}
)


@dataclass(frozen=True, slots=True)
class Direction:
    """The words for a number that went up or down, for what it is about, and for a change that is neither."""

    up: str
    down: str
    what: str = ""
    mixed: str = ""


ANY = Direction("more", "less")
# Numbers whose monitor alarms both ways.
DIRECTIONS = {
    "response_length": Direction("longer", "shorter", "Answers", "The mix of short and long answers has changed."),
}
# Shares whose limit may be none at all: then each is an incident, and counted.
INCIDENTS = frozenset({"attack_success"})
UNITS = {"response_length": " characters"}
# Said letter by letter.
ABBREVIATIONS = {"pii": "PII", "ood": "OOD", "ttft": "TTFT"}


def title(name: str) -> str:
    """A name of the program for people: prompt_drift becomes Prompt drift, response_pii Response PII."""
    words = name.removesuffix("_ms").replace("_", " ").replace("-", " ").split()
    said = " ".join(ABBREVIATIONS.get(word, word) for word in words)
    return said[:1].upper() + said[1:]


def unit(metric: str) -> tuple[float, str]:
    """What a metric's values are multiplied with and followed by: shares read as per cent, times as milliseconds."""
    if metric == POINTS or metric in GAPS or metric.endswith(("_gap", "_change")):
        return 100.0, " points"
    if metric in SHARES or metric.endswith(("_rate", "_share")):
        return 100.0, " %"
    return 1.0, " ms" if metric.endswith("_ms") else UNITS.get(metric, "")


def number(value: float | None, metric: str = "", *, signed: bool = False) -> str:
    """A value in its metric's unit; a dash where there is none."""
    if value is None:
        return "–"
    return f"{_plain(value, metric, '+' if signed else '')}{unit(metric)[1]}"


def _plain(value: float, metric: str, sign: str = "") -> str:
    """The value in its metric's unit, without the unit's name. Characters are counted whole."""
    scale, _ = unit(metric)
    return _digits(value * scale, sign, fixed=scale != 1.0, whole=metric in UNITS)


def _digits(value: float, sign: str = "", *, fixed: bool = False, whole: bool = False) -> str:
    size = abs(value)
    if size >= 1000 or whole:
        return f"{value:{sign}z,.0f}"
    places = 1 if fixed or size >= 100 else 2 if size >= 10 else 3
    return f"{value:{sign}z.{places}f}"


def interval(row: Mapping[Any, Any], metric: str = "") -> str:
    """The interval and the count behind a measured value, such as: 1.2 to 3.4 %, n = 400."""
    n = f"n = {row['n']:,}"
    if row.get("value") is None:
        return missing(row)
    low, high = row.get("low"), row.get("high")
    if low is None and high is None:
        return n
    if low is None or high is None:
        side = f"at least {number(low, metric)}" if high is None else f"at most {number(high, metric)}"
        return f"{side}, {n}"
    return f"{_plain(low, metric)} to {number(high, metric)}, {n}"


def direction(change: Mapping[str, Any], metric: str) -> str:
    """Which way a number went by the whole interval of its `change`, such as longer; empty where that is not clear."""
    low, high = change.get("low"), change.get("high")
    known = DIRECTIONS.get(metric, ANY)
    if low is not None and low > 0:
        return known.up
    return known.down if high is not None and high < 0 else ""


def compared(change: Mapping[str, Any], metric: str) -> str:
    """How far a number is from its reference, such as: 120 characters longer than the reference's 50 characters (by 90
    to 150 characters). `change` is that of monitors.changed."""
    by = POINTS if unit(metric)[0] == 100.0 else metric
    known = DIRECTIONS.get(metric, ANY)
    reference = number(change["reference"]["value"], metric)
    hours = ", all hours together" if change.get("together") else ""
    if way := direction(change, metric):
        least, most = (_plain(end, by) for end in sorted(abs(change[end]) for end in ("low", "high")))
        far = number(abs(change["value"]), by)
        return f"{far} {way} than the reference's {reference} (by {least} to {most}{unit(by)[1]}{hours})"
    low, high = _plain(change["low"], by, "+"), number(change["high"], by, signed=True)
    return f"not clearly {known.up} or {known.down} than the reference's {reference} ({low} to {high}{hours})"


def limit(rule: Mapping[str, Any], metric: str = "") -> str:
    """A plain limit with its direction, such as: at most 20,000 ms; empty where there is none."""
    value = rule.get("limit")
    if not isinstance(value, int | float):
        return ""
    side = {"above": "at most", "below": "at least"}.get(str(rule.get("direction", "above")), "at most")
    return f"{side} {number(float(value), metric)}"


def incident(measured: Mapping[str, Any]) -> str:
    """Of attacks none of which may get through, how many did: counted, for it is no estimate; empty for all else.

    `measured` holds metric, segment, n, limit and details. Such as: 1 attack of 1 asked, with 2 more to ask.
    """
    details = measured.get("details") or {}
    if measured.get("metric") not in INCIDENTS or measured.get("limit") != 0 or "failures" not in details:
        return ""
    through, asked = int(details["failures"]), int(measured.get("n") or 0)
    more = max(int(details.get("prompts") or 0) - asked, 0)
    rest = f", with {more:,} more to ask" if more else ""
    return f"{through:,} {'attack' if through == 1 else 'attacks'} of {asked:,} asked{rest}"


def missing(row: Mapping[Any, Any]) -> str:
    """How much is there and how much is needed where there is no value."""
    needed = int(row.get("needed") or 0)
    if needed:
        return f"{row['n']:,} of {row['n'] + needed:,} rows needed"
    return f"Not enough data, n = {row['n']:,}"
