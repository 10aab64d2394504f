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
# Measures that are no shares of something.
SECONDS, TOKENS, COST = "seconds_a_token", "tokens_an_answer", "cost_of_1000_answers"
NAMES = {"answer_length": "Answer length, of the token limit", COST: "Cost of 1,000 answers"}
UNMEASURED = "not measured"


def draw(console: Console, names: Sequence[str]) -> None:
    """Which versions, the button, and the tables of the last hour; closed until somebody asks."""
    if len(names) < FEWEST:
        return
    section = st.expander("Compare", key="compare-open", icon=":material/balance:", on_change="rerun")
    if not section.open:
        return
    with section:
        st.caption("Each answers the same recent prompts and probes, by turns. This takes minutes a version.")
        asks = "Versions: the others are compared with the first"
        chosen = st.multiselect(asks, list(names), max_selections=MOST, key="compare")
        ready = console.may(Action.RUN_MONITOR) and len(chosen) >= FEWEST
        if st.button("Compare", icon=":material/balance:", key="compare-do", disabled=not ready):
            actions.compare(console, chosen)
            st.rerun()
        if not console.may(Action.RUN_MONITOR):
            st.caption("An operator can compare versions.")
        elif len(chosen) < FEWEST:
            st.caption(f"Choose {FEWEST} to {MOST} versions.")
        asked.draw(console, "compare", {}, lambda row: result(console, row))


def result(console: Console, row: Mapping[str, Any]) -> None:
    """One comparison: a line a measure, a column a version."""
    found = console.load(f"comparison {row['uuid']}", lambda tx: queries.result(tx, row["uuid"]))
    if not found:
        return
    versions, first = found["versions"], found["baseline"]
    lines = [
        {
            "measure": NAMES.get(measure, words.title(measure)),
            **{name: cell(measure, told.get(measure), first=name == first) for name, told in versions.items()},
        }
        for measure in dict.fromkeys(measure for told in versions.values() for measure in told)
    ]
    columns = {"measure": "Measure", **{name: name for name in versions}}
    st.text(f"{found['prompts']:,} prompts each. After a semicolon: the difference from {first}.")
    show.table(lines, columns, alt="Versions compared, a line a measure", key=f"compared-{row['uuid']}")
    if any(UNMEASURED in line.values() for line in lines):
        st.caption("Not measured: its server, or that of the first, does not count tokens; the cost rests on them too.")
    rows = spread(versions)
    if rows:
        show.download(rows, list(rows[0]), name="versions-compared", key=f"compared-csv-{row['uuid']}")


def cell(measure: str, told: Mapping[str, Any] | None, *, first: bool) -> str:
    """A measure of one version: its value with the interval, then, but for the `first`, the difference with its own."""
    if told is None:
        return UNMEASURED
    value = told["value"]
    if not isinstance(value, Mapping):
        return f"{words.number(float(value))} {told.get('currency', '')}".rstrip()
    if value["value"] is None:
        return words.missing(value)
    # Amounts of money are no shares; a token's time differs by a share of the first version's.
    plain, money = measure in (SECONDS, TOKENS) or "currency" in told, told.get("currency", "")
    shown = reading(value, "" if plain else "accuracy", money)
    if first:
        return shown
    unit = "accuracy" if measure == SECONDS else "" if plain else words.POINTS
    return f"{shown}; {reading(told['difference'], unit, money, signed=True)}"


def reading(estimate: Mapping[str, Any], unit: str, money: str = "", *, signed: bool = False) -> str:
    """A value, in a currency where it is money, with its interval and count."""
    told = f"{words.number(estimate['value'], unit, signed=signed)} {money}".rstrip()
    return f"{told} ({words.interval(estimate, unit)})"


def spread(versions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every figure of a comparison as a row, for a file: the value and the difference with their intervals."""
    out: list[dict[str, Any]] = []
    for version, measures in versions.items():
        for measure, told in measures.items():
            row = {"version": version, "measure": measure, "currency": told.get("currency", "")}
            for name in ("value", "difference"):
                found = told.get(name)
                ends = found if isinstance(found, Mapping) else {"value": found}
                row[name] = ends["value"]
                row |= {f"{name}_{field}": ends.get(field) for field in ("low", "high", "n", "method")}
            out.append(row)
    return out
