"""Notices: one for each group of alerts that changed together, with a key that makes a repeat harmless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.events import digest


@dataclass(frozen=True, slots=True)
class Change:
    """A transition that somebody should hear of."""

    alert: str
    monitor: str
    state: Literal["firing", "resolved"]
    severity: str
    summary: str
    transition: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel sends: `key` identifies it at the receiver, `body` is JSON."""

    key: str
    title: str
    text: str
    body: Mapping[str, Any]


def compose(changes: Iterable[Change], *, link: str = "") -> Notice:
    """One notice for all `changes`, firing first. Raises ValueError when there are none."""
    ordered = sorted(changes, key=lambda change: (change.state != "firing", change.monitor, change.transition))
    if not ordered:
        raise ValueError("nothing changed, so there is nothing to say")
    firing = sum(change.state == "firing" for change in ordered)
    resolved = len(ordered) - firing
    parts = [f"{count} {word}" for count, word in ((firing, "firing"), (resolved, "resolved")) if count]
    title = f"Trimtab: {', '.join(parts)}" if len(ordered) > 1 else f"Trimtab: {ordered[0].monitor} {ordered[0].state}"
    lines = [f"[{change.state}] {change.monitor}: {change.summary}" for change in ordered]
    body = {
        "title": title,
        "link": link,
        "alerts": [
            {
                "alert": change.alert,
                "monitor": change.monitor,
                "state": change.state,
                "severity": change.severity,
                "summary": change.summary,
            }
            for change in ordered
        ],
    }
    key = digest([change.transition for change in ordered])[:32]
    return Notice(key, title, "\n".join(lines + ([link] if link else [])), {**body, "key": key})
