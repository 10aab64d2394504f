"""What to propose when an alert fires: retraining, a rollback, or neither, always with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

QUALITY = frozenset(
    {
        "negative_feedback",
        "refusal_rate",
        "response_length",
        "response_format",
        "response_language",
        "response_pii",
        "response_sentiment",
        "bias_twins",
        "group_gaps",
        "question_bias",
        "sycophancy",
        "adversarial",
    }
)
# How the model is served: a release may have changed it, learning from preferences does not.
SERVICE = frozenset({"errors", "latency", "expert_load"})
# What is measured on requests that a version failed to answer.
FAILURES = frozenset({"errors"})
# What is measured on answers that people got, and not by asking the live version itself or by what it failed to answer.
ANSWERS = QUALITY - {"bias_twins", "question_bias", "sycophancy", "adversarial"} | {"latency"}
DRIFT = frozenset({"prompt_drift", "prompt_language", "ood_rate"})
CHANGED = MappingProxyType(
    {
        "response_length": "The length of answers changed",
        "response_format": "The form of answers changed",
        "response_sentiment": "The tone of answers changed",
        "adversarial": "Answers to probes got worse",
    }
)
# What they show may be wanted, or is not the model's doing: a person reads the rows first.
READ_FIRST = frozenset({"response_drift", "prompt_pii", "prompt_sentiment"})


@dataclass(frozen=True, slots=True)
class Situation:
    """What the policy looks at when `metric` alarms: the release before it, and the pairs there are to learn from.

    `events_since_release` counts the answers of the live version until the alarm was raised; None before any is live.
    `asked_since_release` says that clients had asked it something by then, which it may have failed to answer.
    `about_earlier` says that the alarm was raised before that version went live.
    """

    metric: str
    live_version: str
    previous_version: str
    events_since_release: int | None
    settled_events: int
    approved_pairs: int
    minimum_pairs: int
    about_earlier: bool = False
    asked_since_release: bool = True


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposed act and why, in words for a person."""

    kind: Literal["retrain", "rollback", "none"]
    reason: str


def propose(situation: Situation) -> Proposal:
    """An alarm soon after a release points at the release; all else but slow or failing servers is met by learning.

    A release counts as recent while at most `settled_events` answers were given since it, however many failed.
    """
    recent = (
        situation.events_since_release is not None
        and situation.events_since_release <= situation.settled_events
        and bool(situation.previous_version)
    )
    if situation.metric in READ_FIRST:
        return Proposal("none", f"{_words(situation.metric)} alone asks for no act: read the rows of the alert first.")
    suspect = situation.metric in QUALITY | SERVICE
    # An alarm about answers is no word on a version that had given none by then, such as one just rolled back to; one
    # about failures is none on a version that nobody had asked.
    silent = situation.metric in ANSWERS or (situation.metric in FAILURES and not situation.asked_since_release)
    unheard = recent and silent and situation.events_since_release == 0
    if suspect and (situation.about_earlier or unheard):
        return Proposal("none", f"The alarm is about a version that {situation.live_version} has replaced since.")
    if suspect and recent:
        given = situation.events_since_release
        live = situation.live_version
        when = f"{given} answers after {live} went live" if given else f"before {live} had given an answer"
        return Proposal(
            "rollback",
            f"{_worse(situation.metric)} {when}; {situation.previous_version} served before it without this alarm.",
        )
    if situation.metric in SERVICE:
        said = f"{_words(situation.metric)} is a matter of how the model is served, and learning does not change that"
        return Proposal("none", f"{said}: look at the servers and their load.")
    if situation.approved_pairs >= situation.minimum_pairs:
        why = "What people ask has moved" if situation.metric in DRIFT else _worse(situation.metric)
        return Proposal(
            "retrain",
            f"{why}, and {situation.approved_pairs} approved preference pairs are there to learn from.",
        )
    more = situation.minimum_pairs - situation.approved_pairs
    return Proposal("none", f"Retraining needs {more} more approved preference pairs; collect feedback first.")


def _worse(metric: str) -> str:
    """What an alarm of `metric` says of the answers; one that sees both ways only that they changed."""
    return CHANGED.get(metric, f"{_words(metric)} got worse")


def _words(metric: str) -> str:
    return metric.replace("_", " ").capitalize()
