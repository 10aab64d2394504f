"""One exchange in a drawer: its conversation, what is known of it, and what people can do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from store import labelling
from store.queries import traffic as queries
from store.unit_of_work import Tx

if TYPE_CHECKING:
    from dashboard.views.topic_map import Drawn

MESSAGES = 50


def close() -> None:
    """Take the exchange out of the address."""
    st.query_params.pop("exchange", None)


@st.dialog("Exchange", position="right", width="medium", on_dismiss=close)
def drawer(console: Console, uuid: str, drawn: Drawn | None) -> None:
    """Everything about the exchange `uuid`. All of it is captured text."""
    found = console.load(f"exchange {uuid}", lambda tx: read(tx, uuid, drawn))
    if found is None:
        show.empty("There is no such exchange", ("It belongs to another installation. Choose one from the list.",))
        return
    row = found["row"]
    conversation(row)
    facts(row, found, drawn)
    said(row["feedback"])
    queue(console, row["uuid"], found["marks"])
    prefer(console, row, found["others"])
    exclude(console, row["uuid"], found["marks"])
    near = found["near"]
    if near:
        st.subheader("Neighbours", anchor=False)
        st.caption("What stands nearest to it among the exchanges of the map.")
        columns = {"prompt": "Prompt", "response": "Answer", "version": "Version"}
        show.table(near, columns, alt="The nearest exchanges", key="neighbours")


def read(tx: Tx, uuid: str, drawn: Drawn | None) -> dict[str, Any] | None:
    """What the drawer shows, or None for an exchange that is not there."""
    row = queries.one(tx, uuid)
    if row is None:
        return None
    place = drawn.place(row["id"]) if drawn is not None else None
    near = [drawn.points["id"][index] for index in drawn.points["near"][place]] if drawn and place is not None else []
    return {
        "row": row,
        "marks": {mark["kind"]: mark for mark in labelling.marks_of(tx, uuid)},
        "others": queries.other_answers(tx, row),
        "near": queries.by_ids(tx, near),
        "place": place,
    }


def conversation(row: Mapping[str, Any]) -> None:
    """The messages in order, then the answer."""
    messages = row["messages"] or [{"role": "user", "content": row["prompt"]}]
    if len(messages) > MESSAGES:
        st.text(f"The last {MESSAGES} of {len(messages)} messages.")
    for message in messages[-MESSAGES:]:
        with st.container(gap=None):
            show.say(str(message.get("role", "")), "quiet")
            content = message.get("content", "")
            st.text(content if isinstance(content, str) else str(content))
    with st.container(border=True, gap=None):
        st.caption("Answer")
        st.text(row["response"] or "No answer.")
        if row["error"]:
            st.text(row["error"])


def facts(row: Mapping[str, Any], found: Mapping[str, Any], drawn: Drawn | None) -> None:
    """Who answered, when, how fast, and what the map says of it."""
    scored: dict[str, object] = {}
    if drawn is not None and found["place"] is not None:
        points, place = drawn.points, found["place"]
        topic, p = points["topic"][place], points["p"][place]
        scored["Topic"] = drawn.topics[topic]["name"] if topic >= 0 else "none that is listed"
        if p is not None:
            scored["Unlike the reference"] = f"p = {p:.3g}: {100 * p:.3g} % of its prompts stand as far from the others"
    show.facts(
        {
            "At": words.clock_time(row["at"]),
            "Version": row["version"],
            "Kind": row["kind"],
            "Status": f"{row['status']} {row['finish_reason']}".strip(),
            "Time": words.number(row["latency_ms"], "latency_ms"),
            "Tokens": f"{row['prompt_tokens']:,} read, {row['completion_tokens']:,} written",
            "Labels": ", ".join(f"{name}={value}" for name, value in row["labels"].items()),
            "Conversation": row["conversation"],
            "Id": row["uuid"],
            **scored,
        }
    )


def said(feedback: Sequence[Any]) -> None:
    """What people said of the answer."""
    if not feedback:
        return
    st.subheader("What people said", anchor=False)
    for item in feedback:
        value = "" if item["value"] is None else f" {item['value']:g}"
        lines = [f"{words.clock_time(item['at'])}: {item['kind']}{value}", item["comment"]]
        if item["kind"] in ("choice", "correction"):
            lines.append(f"Better: {item['chosen']}")
        st.text("\n".join(line for line in lines if line))


def queue(console: Console, uuid: str, marks: Mapping[str, Any]) -> None:
    """Into the queue of labelling, or out of it."""
    waits = "label" in marks
    if waits:
        st.text(f"Waits to be labelled; queued by {marks['label']['actor']}.")
    label, icon = ("Take it off the queue", "label_off") if waits else ("Queue for labelling", "label")
    if st.button(label, icon=f":material/{icon}:", key="exchange-queue", disabled=not console.may(Action.LABEL)):
        (actions.unqueue_exchange(console, uuid) if waits else actions.queue_exchanges(console, [uuid]))
        st.rerun()


def prefer(console: Console, row: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> None:
    """Choose the better of two answers to the same messages, or write a better one."""
    st.subheader("Label a pair", anchor=False)
    allowed = console.may(Action.LABEL)
    for place, other in enumerate(others):
        with st.container(border=True, key=f"other-{place}"):
            show.say(f"Another answer to the same, by {other['version']}", "quiet", f"other-{place}")
            st.text(other["response"])
            with st.container(horizontal=True, gap="small"):
                for label, chosen, rejected in (
                    ("This one is better", other["response"], row["response"]),
                    ("The one above is better", row["response"], other["response"]),
                ):
                    if st.button(label, key=f"prefer-{place}-{label}", disabled=not allowed):
                        actions.prefer_answer(console, row["uuid"], chosen=chosen, rejected=rejected)
                        st.rerun()
    with st.form("correct", border=False):
        better = st.text_area("A better answer", max_chars=8000, height=120, key="better")
        if st.form_submit_button(
            "Save the better answer", icon=":material/edit:", key="correct-do", disabled=not allowed
        ):
            actions.correct_answer(console, row["uuid"], better)
            st.rerun()
    st.caption("A pair is checked like every other before it may train. It counts as nobody's complaint.")


def exclude(console: Console, uuid: str, marks: Mapping[str, Any]) -> None:
    """Out of the references taken from now on, with a reason, or in again."""
    allowed = console.may(Action.TAKE_REFERENCE)
    with st.expander("Exclude from references"):
        if "exclude" in marks:
            mark = marks["exclude"]
            st.text(f"{mark['actor']} left it out: {mark['reason']}")
            if st.button("Let it count again", key="include-do", disabled=not allowed):
                actions.include_exchange(console, uuid)
                st.rerun()
            return
        st.caption("It counts in no reference that a monitor takes from now on. Monitors go on looking at it.")
        reason = st.text_input("Why?", max_chars=300, key="exclude-why")
        if st.button("Exclude", key="exclude-do", disabled=not allowed):
            actions.exclude_exchanges(console, [uuid], reason)
            st.rerun()
