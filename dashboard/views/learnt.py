"""What a candidate learnt, by topic: its gain in held-out accuracy, as the run's evaluation told it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import dots, show, words


def draw(events: Sequence[Mapping[str, Any]]) -> None:
    """A dot on its interval for each topic of the held-out prompts, or why there is none; nothing before the evaluation
    told of any."""
    told_last: Mapping[str, Any] = next((event for event in reversed(events) if event.get("event") == "evaluated"), {})
    found, missing = told_last.get("topics"), told_last.get("topics_missing")
    if not found and not missing:
        return
    st.subheader("What it learnt, by topic", anchor=False)
    if not found:
        st.text(f"Not known: topics are told by the sentence encoder. {missing} The run and its gate need none.")
        return
    st.caption("Held-out pairs ranked right, candidate minus champion. The intervals hold over all topics together.")
    st.text(sentence(found))
    rows = [{"name": topic["name"], **topic["gain"], "told": told(topic)} for topic in found]
    show.chart(dots.gaps(rows, limit=None), "; ".join(told(topic) for topic in found), "learnt")


def sentence(topics: Sequence[Mapping[str, Any]]) -> str:
    """On how many topics it is surely better or worse, and on how many nobody can tell."""
    sure = [topic for topic in topics if topic["sure"]]
    better = sum(topic["gain"]["low"] > 0 for topic in sure)
    told = [f"Surely better on {better} of {words.count(len(topics), 'topic')}"]
    if len(sure) > better:
        told.append(f"surely worse on {len(sure) - better}")
    unsure = len(topics) - len(sure)
    return ", ".join(told) + ("; on the others there are too few pairs to tell." if unsure else ".")


def told(topic: Mapping[str, Any]) -> str:
    """A topic's gain in words."""
    gain = topic["gain"]
    if gain["value"] is None:
        return f"{topic['name']}: {words.missing(gain)}"
    value = words.number(gain["value"], words.POINTS, signed=True)
    return f"{topic['name']}: {value}, {words.interval(gain, words.POINTS)}"
