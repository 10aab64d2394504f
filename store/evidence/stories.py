"""What each decision of a period came from and led to, as numbers of events in the chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """An event of a story."""

    event: int
    at: int
    kind: str
    actor: str
    words: str


@dataclass(frozen=True, slots=True)
class Story:
    """From the alarm to the release: the decision it is about, and its steps in the chain's order."""

    decision: str
    kind: str
    subject: str
    state: str
    reason: str
    steps: tuple[Step, ...]


Rows = Mapping[str, Iterable[Mapping[str, Any]]]
_TOLD = ("reason", "comment", "message", "verdict", "version", "candidate", "monitor", "stage", "to", "share")


def tell(rows: Rows, events: Iterable[Mapping[str, Any]]) -> tuple[Story, ...]:
    """The stories of `rows` (decisions, runs, gate_reports, deployments as exported), told by `events`.

    A promotion stands in the story of the run that made its candidate, where that run's decision is among the rows.
    """
    decisions = {str(row["uuid"]): row for row in rows["decisions"]}
    made = {str(run["candidate"]): run for run in rows["runs"] if run["candidate"] and run["decision"] in decisions}
    belongs: dict[str, str] = {}
    for uuid, row in decisions.items():
        run = made.get(str(row["subject"])) if row["kind"] == "promote" else None
        belongs[uuid] = str(run["decision"]) if run else uuid
    subjects: dict[str, set[str]] = {}

    def add(subject: str, uuid: str) -> None:
        subjects.setdefault(subject, set()).add(belongs[uuid])

    for uuid, row in decisions.items():
        add(uuid, uuid)
        if row["alert"]:
            add(str(row["alert"]), uuid)
    for run in rows["runs"]:
        if run["decision"] in decisions:
            add(str(run["uuid"]), str(run["decision"]))
            if run["candidate"]:
                add(str(run["candidate"]), str(run["decision"]))
    for row in rows["deployments"]:
        if row["decision"] in decisions:
            add(str(row["uuid"]), str(row["decision"]))
    steps: dict[str, list[Step]] = {uuid: [] for uuid in belongs.values()}
    for event in events:
        for uuid in subjects.get(str(event["subject"]), ()):
            words = "; ".join(f"{name}: {event['body'][name]}" for name in _TOLD if event["body"].get(name))
            steps[uuid].append(Step(event["id"], event["at"], event["kind"], event["actor"], words))
    return tuple(
        Story(uuid, row["kind"], row["subject"], row["state"], row["reason"], tuple(steps[uuid]))
        for uuid, row in decisions.items()
        if belongs[uuid] == uuid
    )
