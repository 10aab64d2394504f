"""Will retraining help? What cheap heads learn from the pairs at hand, beside the proposal that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import show, words
from dashboard.console import Console
from dashboard.marks import Mark
from dashboard.views import asked
from store.queries import commands as queries

# The failure that the worker mends by itself.
NO_ENCODER = "EncoderMissing"
QUESTIONS = {"open": "Will it help?", "done": "Was it expected to help?", "never": "Would it have helped?"}
OUTLOOKS = {
    "likely to help": Mark("Likely to help", "trending_up", "green"),
    "unlikely": Mark("Unlikely to help", "trending_flat", "orange"),
    "not enough pairs": Mark("Not enough pairs", "hourglass_empty", "gray"),
}


def draw(console: Console, decision: str, *, tense: str, waits: bool) -> None:
    """What was worked out for the proposal `decision`, or how far that is; nothing where nobody asked. While it is
    being worked out it looks again by itself. `waits` says that the proposal still does."""
    row, _ = read(console, decision)
    if row is None:
        return
    live = asked.state(row, console) in asked.LIVE

    @st.fragment(run_every=asked.REFRESH_SECONDS if live else None, key=f"prospects-again-{decision}")
    def outlook() -> None:
        now, _ = read(console, decision)
        if live and asked.state(now, console) not in asked.LIVE:
            st.rerun()
        with st.container(border=True, key=f"prospects-{decision}"):
            show.say(QUESTIONS[tense], "strong", f"prospects-{decision}")
            standing(console, decision, waits=waits)

    outlook()


def read(console: Console, decision: str) -> tuple[Any, dict[str, Any]]:
    """The newest request about `decision`, or None, and what came of it."""

    def query(tx: Any) -> tuple[Any, dict[str, Any]]:
        rows = queries.recent(tx, "foresee", {"decision": decision}, limit=1)
        return (rows[0], queries.result(tx, rows[0]["uuid"])) if rows else (None, {})

    return console.load(f"prospects {decision}", query)


def standing(console: Console, decision: str, *, waits: bool) -> None:
    """Draw what came of the request."""
    row, found = read(console, decision)
    state = asked.state(row, console)
    if state == "done":
        told(found, decision)
    elif state == "claimed":
        st.text("The retraining worker is working it out.")
        st.progress(min(max(float(row["progress"]), 0.0), 1.0))
    elif state == "asked":
        st.text("Waiting for the retraining worker to work it out.")
    else:
        again = " It is asked again by itself once it is there." if found.get("error") == NO_ENCODER else ""
        late = "Nobody worked it out in time: the retraining worker did not run, or was busy."
        st.text(f"It could not be worked out. {row['message']}{again}" if state == "failed" else late)
        if waits:
            st.caption("The proposal can be answered without it.")


def told(found: Mapping[str, Any], key: str) -> None:
    """The outlook as a badge and a sentence, the curve, and which labels to collect."""
    show.mark(OUTLOOKS.get(str(found["outlook"])))
    st.text(str(found["sentence"]))
    apart = "prompts and contributors" if found["contributors_apart"] else "prompts"
    known = f", {found['known']:,} of which the serving version has learnt from" if found["known"] else ""
    st.caption(
        "Cheap models on sentence embeddings, each judged on what it did not see. They say whether the labels agree "
        "with each other enough to learn from, not what the model itself will reach: the gate measures that."
    )
    show.facts(
        {
            "With the pairs at hand": gain(found["gain"]),
            "With twice as many": gain(found["twice"]),
            "Rests on": f"{found['pairs']:,} pairs of {words.count(found['prompts'], 'prompt')}{known}",
            "Judged on": f"{apart} not seen",
        }
    )
    for line in found["label"]:
        show.say(f"Label: {line}")
    with st.expander("The learning curve, and how sure it is by topic"):
        curve = [{"learnt": f"{point['learnt']:,}", "right": share(point["accuracy"])} for point in found["curve"]]
        show.table(
            curve,
            {"learnt": "Pairs learnt from", "right": "Held-out pairs ranked right"},
            alt="Held-out accuracy of cheap models by the pairs they learnt from",
            key=f"prospects-curve-{key}",
        )
        topics = [
            {**topic, "right": share(topic["right"]), "doubt": f"{100 * topic['doubt']:.0f} %"}
            for topic in found["topics"]
        ]
        columns = {
            "name": "Topic",
            "pairs": "Pairs",
            "doubt": "Expected to guess wrong",
            "right": "Ranked right",
            "wanted": "More wanted",
        }
        show.table(topics, columns, alt="Topics of the pairs, most doubted first", key=f"prospects-topics-{key}")


def gain(estimate: Mapping[str, Any]) -> str:
    """A gain in points with its interval and count."""
    if estimate["value"] is None:
        return words.missing(estimate)
    return f"{words.number(estimate['value'], words.POINTS, signed=True)} ({words.interval(estimate, words.POINTS)})"


def share(estimate: Mapping[str, Any]) -> str:
    """A share ranked right with its interval and count."""
    if estimate["value"] is None:
        return words.missing(estimate)
    return f"{words.number(estimate['value'], 'accuracy')} ({words.interval(estimate, 'accuracy')})"
