"""Versions side by side: asked the same, with quality, speed and cost in one table, on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from dashboard.views import asked
from store.queries import commands as queries

FEWEST, MOST = 2, 6


def draw(console: Console, names: Sequence[str]) -> None:
    """Which versions, the button, and the tables of the last hour; closed until somebody asks."""
    if len(names) < FEWEST:
        return
    section = st.expander("Compare", key="compare-open", icon=":material/balance:", on_change="rerun")
    if not section.open:
        return
    with section:
        st.caption("Each answers the same recent prompts and probes, by turns. This takes minutes a version.")
        chosen = st.multiselect("Versions, the first is compared with", list(names), max_selections=MOST, key="compare")
        ready = console.may(Action.RUN_MONITOR) and len(chosen) >= FEWEST
        if st.button("Compare", icon=":material/balance:", key="compare-do", disabled=not ready):
            actions.compare(console, chosen)
            st.rerun()
        if not console.may(Action.RUN_MONITOR):
            st.caption("An operator can compare versions.")
        asked.draw(console, "compare", {}, lambda row: result(console, row))


def result(console: Console, row: Mapping[str, Any]) -> None:
    """One comparison: a line a measure, a column a version."""
    found = console.load(f"comparison {row['uuid']}", lambda tx: queries.result(tx, row["uuid"]))
    if not found:
        return
    versions = found["versions"]
    lines = [
        {"measure": words.title(measure), **{name: cell(told.get(measure)) for name, told in versions.items()}}
        for measure in dict.fromkeys(measure for told in versions.values() for measure in told)
    ]
    columns = {"measure": "Measure", **{name: name for name in versions}}
    st.text(f"{found['prompts']} prompts each; differences are from {found['baseline']}.")
    show.table(lines, columns, alt="Versions compared, a line a measure", key=f"compared-{row['uuid']}")


def cell(told: Mapping[str, Any] | None) -> str:
    """A measure of one version: its value with the interval, then the difference with its own."""
    if told is None:
        return "not measured"
    value = told["value"]
    if not isinstance(value, Mapping):
        return f"{words.number(float(value))} {told.get('currency', '')}".rstrip()
    if value["value"] is None:
        return words.missing(value)
    shift = told["difference"]
    return f"{words.number(value['value'])}, {words.interval(value)}; {words.number(shift['value'], signed=True)}, " + (
        words.interval(shift)
    )
