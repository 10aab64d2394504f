"""Pieces that pages are made of. Whatever people or traffic wrote goes through `say`, which shows text as text."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from core.errors import TrimtabError
from dashboard import charts, exports, plots, words
from dashboard.marks import UNKNOWN, Mark
from dashboard.plots import Plot

_STYLE = """<style>
.st-key-headline p, .st-key-headline div[data-testid="stText"] {font-size: 1.3rem; line-height: 1.35}
[class*="st-key-strong"] div[data-testid="stText"] {font-weight: 600}
[class*="st-key-quiet"] div[data-testid="stText"] {opacity: .72; font-size: .875rem}
[class*="st-key-big"] div[data-testid="stText"] {font-size: 1.5rem; line-height: 1.2}
.st-key-stale {opacity: .5}
div[data-testid="stText"] {overflow-wrap: anywhere; white-space: pre-wrap; font-family: inherit}
button[kind^="primary"]:not(:disabled) {color: light-dark(#fff, #10161c)}
.st-key-frame {border-bottom: 1px solid rgba(128, 140, 150, .25); padding-bottom: .5rem}
div[data-testid="stMainBlockContainer"] {padding-top: 2.5rem; max-width: 82rem}
@media (max-width: 640px) {
div[data-testid="stMainBlockContainer"] {padding: 3.5rem 1rem 2rem}
.stHorizontalBlock:is([class*="st-key-waits-"], [class*="st-key-alert-"], [class*="st-key-silence-"],
[class*="st-key-run-"], [class*="st-key-version-"]) > [data-testid="stLayoutWrapper"] {flex-basis: 100%}
}
</style>"""


def style() -> None:
    """The few rules that Streamlit's theme has no setting for."""
    st.html(_STYLE + plots.STYLE)


def say(text: object, tone: str = "", key: str = "") -> None:
    """Text from outside as text. `tone` is strong, quiet or big; then `key` makes the place unique on the page."""
    if tone:
        with st.container(key=f"{tone}-{key}", gap=None):
            st.text(str(text))
    else:
        st.text(str(text))


def mark(found: Mark | None) -> None:
    """A state as icon, word and colour."""
    shown = found or UNKNOWN
    st.badge(shown.word, icon=f":material/{shown.icon}:", color=shown.colour)


def head(title: str, question: str) -> None:
    """The page's title and the one question it answers."""
    st.header(title, anchor=False)
    st.caption(question)


def facts(pairs: Mapping[str, object]) -> None:
    """Names (the program's own) with values (shown as text)."""
    kept = {name: value for name, value in pairs.items() if value not in (None, "")}
    if not kept:
        return
    with st.grid(min_column_width=170, gap="small"):
        for name, value in kept.items():
            with st.container(gap=None):
                st.caption(name)
                st.text(str(value))


def measured(row: Any, metric: str, key: str) -> None:
    """A value with its interval and count, or how much is missing."""
    if row is None:
        say("–", "big", key)
        say("Not measured yet", "quiet", f"{key}-note")
        return
    say(words.number(row["value"], metric), "big", key)
    say(words.interval(row, metric), "quiet", f"{key}-note")


def chart(figure: Plot, alt: str, key: str) -> None:
    """A figure with its description for those who cannot see it."""
    with st.container(key=key, gap=None):
        st.html(f'<div role="img" aria-label="{html.escape(alt)}">{figure.html()}</div>')


def spark(values: Sequence[float], name: str) -> None:
    """Recent values as a small line. `name` is the program's own word for them."""
    st.html(charts.spark(values, f"{name}: the last {len(values)} values, oldest first."))


def empty(title: str, steps: Sequence[str] = ()) -> None:
    """What a page says when there is nothing, and what to do about it. The program's own words only."""
    with st.container(border=True):
        st.subheader(title, anchor=False)
        for place, step in enumerate(steps, 1):
            st.text(f"{place}.  {step}")


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, alt: str, key: str) -> None:
    """Rows as a table of text. `columns` gives the header, the program's own word, of each field."""
    frame, config = _frame(rows, columns)
    st.dataframe(frame, hide_index=True, column_config=config, alt=alt, key=key)


def choose(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    alt: str,
    key: str,
    chosen: Callable[[int | None], None],
) -> None:
    """A table like that whose rows can be chosen; `chosen` is told the place of the row, None when it is let go."""

    def tell() -> None:
        places = st.session_state[key]["selection"]["rows"]
        chosen(places[0] if places and places[0] < len(rows) else None)

    frame, config = _frame(rows, columns)
    st.dataframe(
        frame,
        hide_index=True,
        column_config=config,
        alt=alt,
        key=key,
        on_select=tell,
        selection_mode="single-row",
    )


def download(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, name: str, key: str) -> None:
    """A button that saves rows as a CSV file whose cells are text to a spreadsheet."""
    st.download_button(
        "Save as CSV",
        exports.csv_bytes(rows, columns),
        file_name=f"{name}.csv",
        mime="text/csv",
        icon=":material/download:",
        key=key,
        on_click="ignore",
    )


def show_away(error: TrimtabError, since: datetime | None, now: datetime) -> None:
    """The banner of a store that does not answer; with `since`, old numbers follow."""
    with st.container(border=True, key="away"):
        st.badge("No connection to the database", icon=":material/cloud_off:", color="orange")
        st.text(f"{error.message} {error.remedy}")
        if since is not None:
            st.text(
                f"Last good data: {words.ago(since, now)}. What follows is as it was then; nothing can be changed now."
            )


def show_error(error: TrimtabError) -> None:
    """An expected failure in its own words."""
    with st.container(border=True, key="refused"):
        st.badge("Not possible", icon=":material/block:", color="orange")
        st.text(error.message)
        if error.remedy:
            st.text(error.remedy)


def show_told() -> None:
    """What the last act led to, once."""
    told = st.session_state.pop("_told", None)
    if told is None:
        return
    with st.container(border=True, key="told"):
        if told["good"]:
            st.badge("Done", icon=":material/check_circle:", color="green")
        else:
            st.badge("Not done", icon=":material/block:", color="orange")
        st.text(told["words"])


def close(done: bool) -> None:
    """End a dialog. One whose act can be mended or tried again says why it was not done, and what was typed stays; one
    that somebody else's act, or a second click, has overtaken ends too."""
    if done or not mends():
        st.rerun()
    show_told()


def mends() -> bool:
    """Whether the same person can mend what was just not done, or try it again: then what was shown still holds."""
    return bool(st.session_state.get("_told", {}).get("mends"))


def _frame(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
    """The rows as a data frame of texts, and how its columns are shown."""
    import pandas as pd

    data = {header: [_cell(row.get(field)) for row in rows] for field, header in columns.items()}
    return pd.DataFrame(data), {header: st.column_config.TextColumn(header) for header in columns.values()}


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return words.clock_time(value)
    return "" if value is None else str(value)
