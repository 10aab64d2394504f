"""Which events of the chain belong to which decision."""

from __future__ import annotations

from typing import Any

from store.evidence import stories

NOTHING: dict[str, Any] = {"kind": "retrain", "subject": "assistant", "state": "executed", "reason": "r", "alert": None}


def event(id: int, kind: str, subject: str, **body: Any) -> dict[str, Any]:
    return {"id": id, "at": id, "actor": "ann", "kind": kind, "subject": subject, "body": body}


def test_a_promotion_stands_in_the_story_of_its_run_and_a_rollback_in_its_own() -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "decisions": [
            {**NOTHING, "uuid": "d1", "alert": "a1"},
            {**NOTHING, "uuid": "d2", "kind": "promote", "subject": "v2"},
            {**NOTHING, "uuid": "d3", "kind": "rollback", "alert": "a2"},
            {**NOTHING, "uuid": "d4", "kind": "promote", "subject": "from-elsewhere"},
        ],
        "runs": [
            {"uuid": "r1", "decision": "d1", "candidate": "v2"},
            {"uuid": "r0", "decision": None, "candidate": ""},
        ],
        "deployments": [
            {"uuid": "p1", "decision": "d2"},
            {"uuid": "p2", "decision": "d3"},
            {"uuid": "p0", "decision": None},
        ],
    }
    subjects = ["x", "a1", "d1", "r1", "v2", "d2", "p1", "p0", "a2", "d3", "p2", "d4", "r0"]
    told = stories.tell(rows, [event(place, "k", subject) for place, subject in enumerate(subjects)])
    assert {story.decision: [subjects[step.event] for step in story.steps] for story in told} == {
        "d1": ["a1", "d1", "r1", "v2", "d2", "p1"],
        "d3": ["a2", "d3", "p2"],
        "d4": ["d4"],
    }


def test_a_step_tells_what_was_said() -> None:
    rows: dict[str, list[dict[str, Any]]] = {"decisions": [{**NOTHING, "uuid": "d1"}], "runs": [], "deployments": []}
    (story,) = stories.tell(rows, [event(7, "decision.approved", "d1", comment="Good pairs.", digest="ff", share=0)])
    assert story.steps == (stories.Step(7, 7, "decision.approved", "ann", "comment: Good pairs."),)
