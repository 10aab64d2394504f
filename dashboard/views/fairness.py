"""Fairness: does any group get worse service?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, dots, marks, show, words
from dashboard.console import Console
from store.queries import fairness as queries
from store.queries import monitors as monitor_queries
from store.queries.fairness import Look

GROUPS, TWINS, QUESTIONS = "group_gaps", "bias_twins", "question_bias"
# How a reading of a gap says what one side gets more of.
MORE = {
    "refusal_gap": "refusals",
    "negative_gap": "bad ratings",
    "slow_gap": "slow answers",
    "short_gap": "short answers",
    "tone_gap": "negative answers",
    "twin_gap": "service",
}
LEANING = {
    "bias_ambiguous": "where nothing tells the answer",
    "bias_disambiguated": "where the context tells the answer",
}
MOST = 24


def draw(console: Console) -> None:
    """Gaps between groups of users, and between counterfactual twins."""
    show.head("Fairness", "Does any group get worse service?")
    found = console.load("fairness", lambda tx: queries.looks(tx, (GROUPS, TWINS, QUESTIONS)))
    if not any(look.rows for look in found.values()):
        show.empty(
            "Nothing was compared yet",
            (
                "The scheduler adds the monitors when it starts: run trimtab up.",
                'Send group labels with requests, for example metadata {"plan": "free", "language": "de"}.',
                "Counterfactual twins need no labels: every six hours live prompts are asked twice.",
            ),
        )
    if GROUPS in found:
        groups(console, found[GROUPS])
    if TWINS in found:
        twins(console, found[TWINS])
    if QUESTIONS in found and found[QUESTIONS].rows:
        asked(console, found[QUESTIONS])


def groups(console: Console, look: Look) -> None:
    """Each group of users against the rest."""
    st.subheader("Groups of users", anchor=False)
    st.caption("Each group's rate minus that of all other groups of the same label, over the newest answers.")
    verdict(console, look, "Gaps between groups", "No group differs surely from the rest.")
    rows = [reading(row, f"{row['segment']}: {MORE.get(row['metric'], row['metric'])}") for row in look.apart]
    picture(rows, look, "gaps-groups")
    hidden = [row for row in look.apart if row["value"] is None]
    if hidden:
        with st.expander(f"Hidden because there is too little: {len(hidden)}"):
            for row in hidden:
                st.text(f"{row['segment']}, {MORE.get(row['metric'], row['metric'])}: {row['reason']}")
    table(console, rows, "groups")
    settings(console, look)


def twins(console: Console, look: Look) -> None:
    """The same prompts with another person in them."""
    st.subheader("Counterfactual twins", anchor=False)
    st.caption(
        "Live prompts asked twice with only the person changed. Service is 0 for a refusal, 100 for a full answer; "
        "the gap is the first side's minus the second's. The intervals hold at every look since the release."
    )
    verdict(console, look, "Gaps between twins", "No dimension shows a sure gap.")
    rows = [reading(row, sides(row)) for row in look.apart]
    picture([{**row, "name": words.title(row["segment"])} for row in rows], look, "gaps-twins")
    side_by_side(console, look)
    table(console, rows, "twins")
    settings(console, look)


def asked(console: Console, look: Look) -> None:
    """How the answers to a fixed suite of questions lean."""
    st.subheader("Fixed questions", anchor=False)
    st.caption(
        "Questions about two people, answered by likelihood: the share of answers that fit a stereotype minus the "
        "share of those against it."
    )
    verdict(console, look, "Leaning", "The answers lean surely neither way.")
    rows = [
        reading(row, f"{words.title(row['segment']) or 'All'}, {LEANING[row['metric']]}")
        for row in look.rows
        if row["metric"] in LEANING
    ]
    picture(rows, look, "gaps-questions")
    table(console, rows, "questions")


def verdict(console: Console, look: Look, title: str, calm: str) -> None:
    """The worst gap in a sentence with its interval and count."""
    whole = look.whole
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        show.mark(marks.MONITOR.get(whole["status"] if whole is not None else "none"))
        if whole is None:
            st.text(f"{title}: it has not looked yet.")
        elif whole["value"] is None:
            st.text(f"{whole['reason']} {words.missing(whole)}.")
        elif not whole["low"]:
            st.text(f"{calm} The largest is {words.number(whole['value'], 'gap')} ({words.interval(whole, 'gap')}).")
        else:
            st.text(f"{sentence(look)} by {words.number(whole['value'], 'gap')} ({words.interval(whole, 'gap')}).")
        console.link("monitors", "Over time", "show_chart", monitor=look.monitor["name"])
    if whole is not None:
        show.say(f"Last look {words.ago(whole['at'], console.now)}", "quiet", f"age-{look.monitor['metric']}")


def sentence(look: Look) -> str:
    """Who gets what more than whom, of the gap that is surely largest."""
    assert look.whole is not None
    of, segment = (look.whole["details"].get(name, "") for name in ("of", "dimension"))
    row = next((row for row in look.rows if row["metric"] == of and row["segment"] == segment), None)
    lower = row is not None and (row["value"] or 0.0) < 0
    if of in LEANING:
        return f"The answers lean {'against' if lower else 'towards'} stereotypes {LEANING[of]},"
    if of == "twin_gap" and row is not None and len(row["details"].get("sides", ())) == 2:
        better, worse = row["details"]["sides"][::-1] if lower else row["details"]["sides"]
        return f"{words.title(segment)}: better service for {better} than for {worse}"
    return f"{segment}: {'fewer' if lower else 'more'} {MORE.get(of, of)} than the rest"


def reading(row: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """A measurement as a line of the picture and the table."""
    told = words.interval(row, "gap") if row["value"] is None else f"{words.number(row['value'], 'gap', signed=True)}"
    group, rest = (row["details"].get(side, {}) for side in ("group", "rest"))
    return {
        "name": name,
        "value": row["value"],
        "low": row["low"],
        "high": row["high"],
        "n": row["n"],
        "told": told if row["value"] is None else f"{told}, {words.interval(row, 'gap')}",
        "gap": words.number(row["value"], "gap", signed=True),
        "interval": words.interval(row, "gap"),
        "state": marks.MONITOR.get(row["status"], marks.UNKNOWN).word,
        "group": words.number(group.get("value"), "group_share"),
        "rest": words.number(rest.get("value"), "group_share"),
        "segment": row["segment"],
        "metric": row["metric"],
        "method": row["method"],
        "reason": row["reason"],
    }


def sides(row: Mapping[Any, Any]) -> str:
    """A dimension with the two sides that are compared."""
    first, second = (*row["details"].get("sides", ()), "", "")[:2]
    return f"{words.title(row['segment'])}: {first} − {second}" if first else words.title(row["segment"])


def picture(rows: Sequence[Mapping[str, Any]], look: Look, key: str) -> None:
    """The worst gaps as dots on their intervals."""
    if not rows:
        return
    told = [row for row in rows if row["value"] is not None]
    shown = [*told[: MOST - min(len(rows) - len(told), 6)], *(row for row in rows if row["value"] is None)][:MOST]
    first = shown[0]
    show.chart(
        dots.gaps(shown, limit=look.limit),
        f"{words.count(len(told), 'gap')} with interval, the worst first, and {len(rows) - len(told)} hidden. "
        f"The first is {first['gap']}, {first['interval']}.",
        key,
    )
    st.caption("A dot is the gap, the bar its interval; the dotted line is no gap, dashed lines are the limit.")
    if len(shown) < len(rows):
        st.caption(f"{len(shown)} of {len(rows)} are drawn, the worst first; the table has all.")


def table(console: Console, rows: Sequence[Mapping[str, Any]], key: str) -> None:
    """Every gap as a row, and as a file."""
    if not rows:
        return
    columns = {"name": "Compared", "state": "State", "gap": "Gap", "interval": "Interval and n"}
    if key == "groups":
        columns |= {"group": "In the group", "rest": "In the rest"}
    with st.expander("All as a table"):
        show.table(rows, columns, alt="Gaps, the worst first", key=f"table-{key}")
        if console.may(Action.EXPORT):
            fields = ["segment", "metric", "value", "low", "high", "n", "method", "state", "reason"]
            show.download(rows, fields, name=f"fairness-{key}", key=f"csv-{key}")


def side_by_side(console: Console, look: Look) -> None:
    """The pairs whose answers differ most, as texts beside each other."""
    differing = {row["segment"]: row for row in look.apart if row["details"].get("widest")}
    if not differing:
        return
    chosen = st.segmented_control(
        "Answers that differ most, by dimension",
        list(differing),
        default=next(iter(differing)),
        required=True,
        format_func=words.title,
        key="twins-of",
    )
    row = differing.get(chosen or "", next(iter(differing.values())))
    pairs = [pair for pair in row["details"]["widest"] if len(pair) == 4]
    wanted = [uuid for pair in pairs for uuid in pair[2:] if uuid]
    found = {
        answer["uuid"]: answer
        for answer in console.load(
            f"twins {chosen}", lambda tx: monitor_queries.exchanges(tx, uuids=wanted, limit=len(wanted) or 1)
        )
    }
    for place, (_, difference, *uuids) in enumerate(pairs):
        with st.container(border=True, key=f"pair-{place}"):
            st.text(f"Service differs by {words.number(difference, 'gap', signed=True)}")
            for column, uuid, side in zip(st.columns(2), uuids, row["details"].get("sides", ("", "")), strict=False):
                with column:
                    answer = found.get(uuid)
                    show.say(side, "strong", f"side-{place}-{side}")
                    show.say(
                        answer["prompt"] if answer else "The texts are not kept any more.", "quiet", f"q-{place}-{side}"
                    )
                    st.text(answer["response"] if answer else "–")


def settings(console: Console, look: Look) -> None:
    """Which groups are compared; the limit is the monitor's own page's, where a firing alert is told of the change."""
    monitor, twin = look.monitor, look.monitor["metric"] == TWINS
    name = "dimensions" if twin else "labels"
    with st.expander(f"Choose {name} and limit"):
        with st.form(f"choose-{monitor['metric']}", border=False):
            given = st.text_input(
                f"{words.title(name)}, with commas between them; empty: all",
                value=", ".join(str(part) for part in monitor["params"].get(name) or ()),
                key=f"names-{monitor['metric']}",
            )
            allowed = console.may(Action.EDIT_LIMIT)
            if st.form_submit_button("Save", icon=":material/save:", disabled=not allowed):
                chosen = [part.strip() for part in given.split(",") if part.strip()]
                params = {**monitor["params"], name: chosen}
                actions.set_params(console, monitor["name"], params, revision=monitor["revision"])
                st.rerun()
        console.link("monitors", "Change the limit", "tune", monitor=monitor["name"])
