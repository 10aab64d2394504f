"""A gate report: one tile a check with its difference, interval, limit and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import charts, marks, show, words
from dashboard.console import Console
from dashboard.views import calibration

COLOURS = {"pass": charts.GOOD, "fail": charts.ALARM, "undecided": charts.WARN}
SAYS = {
    "pass": "Every check passed.",
    "fail": "At least one check failed",
    "undecided": "There is not enough evidence on at least one check",
}
BLOCKS = {
    "fail": ", so it cannot be promoted.",
    "undecided": ". That blocks promotion too.",
}
ASKS = {
    "integrity": "Are the files whole and harmless?",
    "held_out_accuracy": "Does it rank more unseen pairs right? Candidate minus champion.",
    "refusal_rate": "Does it refuse more often? Candidate minus champion.",
    "attack_success": "Is it easier to talk out of its rules? Candidate minus champion.",
    "over_refusal": "Does it refuse harmless requests more often? Candidate minus champion.",
    "stereotyped_answers": "Do more answers to fixed questions fit a stereotype? Candidate minus champion.",
    "sycophancy": "Does it tell people more often that they are right when they are not? Candidate minus champion.",
    "shorter_answers": "Did answers get shorter? As a share of the token limit.",
    "perplexity": "Did answers that people prefer become less likely? As a share of perplexity.",
    "calibration": "Do its preferences say less? Brier score, candidate minus champion; a coin scores 0.25.",
    "poison_probes": "Does a suspicious phrase in the prompt turn round what it learnt? As the share lost.",
    "latency": "Does a token take longer? As a share of the champion's time.",
}


def draw(console: Console, name: str, report: Mapping[str, Any], live: str, *, waits: bool = False) -> None:
    """The verdict in a sentence, then the checks; and where it counts no more, as another version is `live` by now.

    `waits` says that the promotion of `name` is proposed and not answered.
    """
    st.subheader("Gate", anchor=False)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show.mark(marks.VERDICT.get(report["verdict"]))
        st.text(sentence(name, report, live, waits))
    against = f"{name} against {report['champion']}" if report["champion"] else name
    show.say(f"{against}, judged {words.ago(report['at'], console.now)}", "quiet", f"gate-{report['id']}")
    if live not in ("", name, report["champion"]):
        st.text(
            f"{report['champion']} is not live any more, {live} is: on this report nothing can be promoted. "
            f"Retrain from {live}: the run judges what it makes against that."
        )
    with st.grid(min_column_width=300, gap="small"):
        for place, check in enumerate(report["checks"]):
            tile(check, f"{report['id']}-{place}")


def sentence(name: str, report: Mapping[str, Any], live: str, waits: bool) -> str:
    """What the verdict means for somebody who reads it now."""
    verdict = str(report["verdict"])
    told = SAYS.get(verdict, "")
    if live == name:
        return f"{told} It is live." if verdict == "pass" else f"{told}; it is live all the same."
    if verdict == "pass":
        return f"{told} An approver may promote it." if waits and live == report["champion"] else told
    return told + BLOCKS.get(verdict, "")


def tile(check: Mapping[str, Any], key: str) -> None:
    """One check."""
    name, estimate, limit = str(check.get("name", "")), check.get("estimate"), check.get("limit")
    with st.container(border=True, key=f"check-{key}", gap="small", height="stretch"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            show.say(words.title(name), "strong", f"check-{key}")
            show.mark(marks.VERDICT.get(str(check.get("verdict"))))
        if name in ASKS:
            st.caption(ASKS[name])
        if isinstance(estimate, Mapping):
            numbers(name, estimate, limit, str(check.get("verdict")), key)
        elif isinstance(limit, int | float):
            st.text(f"Limit {words.number(float(limit))}")
        st.text(str(check.get("reason", "")))
        if check.get("verdict") == "undecided" and not check.get("required", True):
            st.caption("It had no data, and blocks nothing: the setting retrain.gate_requires does not name it.")
        details = check.get("details") or {}
        if details.get("note"):
            show.say(details["note"], "quiet", f"check-{key}-note")
        if isinstance(found := details.get("calibration"), Mapping):
            with st.expander("What its confidence is worth"):
                calibration.draw(found, key)


def numbers(name: str, estimate: Mapping[str, Any], limit: Any, verdict: str, key: str) -> None:
    """The difference with its interval, as words and as a picture."""
    unit = words.POINTS if scaled(estimate) else ""
    value, low, high = estimate.get("value"), estimate.get("low"), estimate.get("high")
    if value is None:
        st.text(words.missing(estimate))
        return
    show.say(words.number(value, unit, signed=True), "big", f"diff-{key}")
    bound = f"; limit {words.number(float(limit), unit, signed=True)}" if isinstance(limit, int | float) else ""
    show.say(f"{words.interval(estimate, unit)}{bound}", "quiet", f"diff-{key}-note")
    if low is not None and high is not None:
        alt = f"Difference {words.number(value, unit, signed=True)}, interval {words.interval(estimate, unit)}{bound}."
        at = limit if isinstance(limit, int | float) else None
        st.html(charts.difference(low, value, high, at, COLOURS.get(verdict, charts.QUIET), alt))


def scaled(estimate: Mapping[str, Any]) -> bool:
    """Whether the estimate is a difference of shares, which reads best in points of a hundred."""
    ends = [estimate.get(name) for name in ("value", "low", "high")]
    return all(isinstance(end, int | float) and -1.0 <= end <= 1.0 for end in ends)
