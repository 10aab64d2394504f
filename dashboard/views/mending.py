"""What would mend a shift: for each topic that grew the preference pairs held for it and the answers to label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import show
from dashboard.console import Console

ROWS = 8


def named(alert: Mapping[Any, Any]) -> tuple[list[str], list[str]]:
    """The exchanges and the pairs, by uuid, that `draw` shows of an alert: the first ROWS of each topic."""
    found = _topics(alert)
    return [uuid for topic in found for uuid in _names(topic.get("label"))[:ROWS]], [
        uuid for topic in found for uuid in _names(topic.get("pairs"))[:ROWS]
    ]


def to_label(alert: Mapping[Any, Any]) -> list[str]:
    """Every exchange, by uuid, that the alert names for labelling."""
    return list(dict.fromkeys(uuid for topic in _topics(alert) for uuid in _names(topic.get("label"))))


def draw(
    console: Console,
    alert: Mapping[Any, Any],
    exchanges: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
) -> None:
    """A sentence for each topic, with what to label first and the pairs nearest to it. All of it captured text."""
    found = _topics(alert)
    if not found:
        return
    st.subheader("What would mend it", anchor=False)
    if to_label(alert):
        console.link("traffic", "Label them", "label", alert=str(alert["uuid"]))
    asked = {row["uuid"]: row for row in exchanges}
    held = {row["uuid"]: row for row in pairs}
    for place, topic in enumerate(found):
        with st.container(border=True, key=f"mending-{place}"):
            show.say(topic.get("topic", ""), "strong", f"mending-{place}")
            st.text(str(topic.get("sentence", "")))
            names = _names(topic.get("label"))
            first = [asked[uuid] for uuid in names[:ROWS] if uuid in asked]
            if first:
                with st.expander(f"The first {len(first)} of {len(names)} to label"):
                    columns = {"at": "At", "version": "Version", "prompt": "Prompt", "response": "Answer"}
                    show.table(first, columns, alt="Answers to label first", key=f"mending-label-{place}")
            near = [held[uuid] for uuid in _names(topic.get("pairs")) if uuid in held]
            if near:
                with st.expander(f"The nearest of the pairs held ({len(near)})"):
                    columns = {"prompt": "Prompt", "chosen": "Better answer", "rejected": "Other answer"}
                    show.table(near, columns, alt="Preference pairs near this topic", key=f"mending-pairs-{place}")


def _topics(alert: Mapping[Any, Any]) -> list[Mapping[str, Any]]:
    told = (alert.get("evidence") or {}).get("mending")
    return [topic for topic in told if isinstance(topic, Mapping)] if isinstance(told, list) else []


def _names(found: Any) -> list[str]:
    return [str(uuid) for uuid in found] if isinstance(found, list) else []
