"""The demo's story as a table of phases, and which one it is by what has happened so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["calm", "recall", "learning", "blocked", "better", "damaged", "settled"]
CALM_ANSWERS, BETTER_ANSWERS = 30, 40


@dataclass(frozen=True, slots=True)
class Story:
    """What has happened: live answers given, answers since the last release, a run at work, releases and rollbacks.

    `blocked` says that a run has ended and its gate let no promotion through.
    """

    answers: int
    answers_since_release: int
    training: bool
    blocked: bool
    promoted: bool
    damaged: bool
    rolled_back: bool


def phase(story: Story) -> Phase:
    """calm -> the recall's news -> a run learns -> better answers -> a damaged release -> rolled back and settled.

    A gate that lacks evidence blocks the candidate; the story then goes on from the version that is live.
    """
    if story.rolled_back:
        return "settled"
    if story.damaged:
        return "damaged"
    if story.promoted:
        return "better"
    if story.training:
        return "learning"
    if story.blocked:
        return "blocked"
    return "calm" if story.answers < CALM_ANSWERS else "recall"


def due_for_damage(story: Story) -> bool:
    """Whether the version that is live has served long enough for the demo to release a damaged one."""
    return phase(story) in ("better", "blocked") and story.answers_since_release >= BETTER_ANSWERS


def pause_seconds(now: Phase) -> float:
    """Seconds between two customers. They slow down while the model trains, so that two cores do for both."""
    return {"calm": 0.4, "recall": 0.5, "learning": 4.0, "blocked": 0.6, "better": 0.6, "damaged": 0.6, "settled": 5.0}[
        now
    ]
