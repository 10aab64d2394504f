"""Why an alert was raised: its value and limit, what else changed then, the topics and rows that carry it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import charts, show, words
from dashboard.console import Console


def draw(
    console: Console,
    alert: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    releases: Sequence[Mapping[str, Any]],
) -> None:
    """The why of `alert`, with the exchanges it names. Everything here may carry captured text."""
    why: Mapping[str, Any] = alert["why"] or {}
    st.subheader("Why", anchor=False)
    if not why:
        st.text(alert["summary"] or "No more is known than the monitor's name.")
        return
    if why.get("sentence") and why["sentence"] != alert["summary"]:
        st.text(str(why["sentence"]))
    numbers(why)
    returned(console, why.get("reopens"))
    if why.get("suggested"):
        st.text(f"What to do: {why['suggested']}")
    changed(why, releases)
    parts(why.get("topics"), "Topics that moved", "topics")
    parts(why.get("segments"), "Segments that moved", "segments")
    carriers(why, rows)
    with st.expander("All that the monitor said"):
        st.json(dict(why), expanded=False)
        if alert["evidence"]:
            st.json(dict(alert["evidence"]), expanded=False)


def returned(console: Console, earlier: Any) -> None:
    """That this was thought to be over, with the way to the earlier alert."""
    if isinstance(earlier, Mapping):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text(
                f"It has returned: an alert like this one was resolved at {str(earlier.get('resolved_at', ''))[:19]}."
            )
            console.link("alerts", "The earlier alert", "history", alert=str(earlier.get("alert", "")))


def numbers(why: Mapping[str, Any]) -> None:
    """Value, window, limit and reference, each with its count."""
    metric = str(why.get("metric", ""))
    window, reference, limit = why.get("window"), why.get("reference"), why.get("limit")
    found: dict[str, object] = {}
    counted = words.incident(why)
    found["Got through"] = counted
    if "value" in why:
        exact = f"{words.number(why['value'], metric)} ({words.interval({'n': 0, **why}, metric)})"
        found["As a share" if counted else "Value"] = exact
    if change := (why.get("details") or {}).get("change"):
        found.pop("Value", None)  # That of the latest rows, of which some came before the change.
        now = f"{words.number(change['now']['value'], metric)} ({words.interval(change['now'], metric)})"
        found["Since the change"] = now
        found["Against the reference"] = words.compared(change, metric)
    if counted:
        found["Limit"] = "none may get through"
    elif isinstance(limit, Mapping):
        found["Promise"] = limit.get("words")
    elif isinstance(limit, int | float):
        found["Limit"] = words.limit({**(why.get("details") or {}), "limit": limit}, metric)
    if isinstance(window, Mapping):
        found["Window"] = _rows(window)
    if isinstance(reference, Mapping):
        version = f", answered by {reference['version']}" if reference.get("version") else ""
        found["Reference"] = _rows(reference) + version
    found["Seen in"] = why.get("view_words")
    found["Technique" if counted else "Segment"] = why.get("segment")
    show.facts(found)


def changed(why: Mapping[str, Any], releases: Sequence[Mapping[str, Any]]) -> None:
    """What else happened around that time."""
    told = [
        f"{item.get('at', '')[:19].replace('T', ' ')}: {item.get('what', '')}" for item in _items(why.get("changes"))
    ]
    if not told:
        told = [f"{words.clock_time(row['live_at'])}: {row['version']} went live ({row['kind']})" for row in releases]
    st.subheader("What else changed then", anchor=False)
    for line in told[-6:]:
        st.text(line)
    if not told:
        st.text("No release, import or edited monitor around that time.")


def parts(found: Any, title: str, key: str) -> None:
    """Topics or segments with their shares now and in the reference; corrected significance in words."""
    rows = _items(found)
    if not rows:
        return
    st.subheader(title, anchor=False)
    lines = [
        {
            "name": str(row.get("name", "")),
            "now": f"{words.number(row.get('share_now'), 'accuracy')} ({row.get('now', '–')} rows)",
            "then": f"{words.number(row.get('share_reference'), 'accuracy')} ({row.get('reference', '–')} rows)",
            "certain": "significant" if row.get("significant") else "within chance",
            "p": f"{row['p']:.2g}" if isinstance(row.get("p"), int | float) else "–",
        }
        for row in rows
    ]
    show.chart(charts.shares(rows), f"{title}: share now beside the reference, {len(rows)} rows.", f"chart-{key}")
    columns = {"name": "Name", "now": "Now", "then": "Reference", "certain": "Corrected for all", "p": "p"}
    show.table(lines, columns, alt=title, key=f"table-{key}")


def carriers(why: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """The exchanges that carry it most, as text."""
    if not rows:
        return
    st.subheader("The rows most responsible", anchor=False)
    topics = {str(item.get("uuid", "")): str(item.get("topic", "")) for item in _items(why.get("rows"))}
    shown = [{**row, "topic": topics.get(row["uuid"], "")} for row in rows]
    columns = {"at": "At", "version": "Version", "topic": "Topic", "prompt": "Prompt", "response": "Answer"}
    show.table(shown, columns, alt="Exchanges most responsible for the alert", key="carriers")
    show.download(shown, ["uuid", *columns], name="alert-rows", key="carriers-csv")


def _rows(part: Mapping[str, Any]) -> str:
    between = ""
    if part.get("from") and part.get("to"):
        between = f", {str(part['from'])[:19].replace('T', ' ')} to {str(part['to'])[:19].replace('T', ' ')}"
    return f"{words.count(int(part.get('rows') or 0), 'row')}{between}"


def _items(found: Any) -> list[Mapping[str, Any]]:
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
