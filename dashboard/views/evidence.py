"""Evidence of a period for somebody outside: asked for by days, written by the monitors, saved from here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import streamlit as st

from core.controls import EMPTY, NOT_COVERED, RECORDED
from core.errors import NotFound
from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from dashboard.views import asked
from store.evidence import shelf
from store.queries import commands as queries

KIND = "export_evidence"
USUAL_DAYS = 30
_COLUMNS = {"framework": "Framework", "records": "With records", "empty": "None in this period", "not": "Not covered"}


def draw(console: Console) -> None:
    """The days, the button, what is under way, and the newest export."""
    section = st.expander("Export the evidence", key="evidence-open", icon=":material/folder_zip:", on_change="rerun")
    if not section.open:
        return
    with section:
        st.text(
            "One archive for an auditor: the records of these days by the controls of NIST AI RMF, NIST AI 600-1, the "
            "EU AI Act, ISO 42001 and OWASP, a page to read, and a script that checks it without Trimtab. It holds no "
            "captured text."
        )
        form(console)
        asked.draw(console, KIND, {})
        newest(console)


def form(console: Console) -> None:
    """Which days, in UTC."""
    today = console.now.astimezone(UTC).date()
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        first = st.date_input("First day (UTC)", today - timedelta(days=USUAL_DAYS), key="evidence-first", width=180)
        last = st.date_input("Last day (UTC)", today, key="evidence-last", width=180)
        pressed = st.button(
            "Export",
            type="primary",
            icon=":material/folder_zip:",
            key="evidence-do",
            disabled=not console.may(Action.EXPORT),
        )
    if not console.may(Action.EXPORT):
        st.caption("An operator can export.")
    if not pressed:
        return
    if first > last:
        st.caption("The last day is before the first.")
        return
    until = min(_midnight(last + timedelta(days=1)), console.now)
    args = {"since": _midnight(first).isoformat(), "until": until.isoformat()}
    actions.ask_monitors(console, KIND, args, "Asked. The archive shows below; you may leave this page.")
    st.rerun()


def newest(console: Console) -> None:
    """The newest export that was written, to be saved."""
    recent = console.load("exports", lambda tx: queries.recent(tx, KIND, {}, limit=shelf.KEPT))
    row = next((row for row in recent if row["state"] == "done"), None)
    if row is None:
        st.caption("Nothing was exported yet.")
        return
    found = console.load(f"result {row['uuid']}", lambda tx: queries.result(tx, row["uuid"]))
    last = datetime.fromisoformat(row["args"]["until"]) - timedelta(microseconds=1)
    days = f"{row['args']['since'][:10]} to {last:%Y-%m-%d}"
    show.say(f"{days}, asked by {row['actor']} {words.ago(row['asked_at'], console.now)}", "strong", "evidence-newest")
    st.text(f"{words.count(found['records'], 'record')}, {found['events']:,} of them events of the chain.")
    lines = [
        {"framework": name, "records": n.get(RECORDED, 0), "empty": n.get(EMPTY, 0), "not": n.get(NOT_COVERED, 0)}
        for name, n in found["controls"].items()
    ]
    show.table(lines, _COLUMNS, alt="Controls by framework", key="evidence-controls")
    st.caption(
        "Records speak for a control; whether it is met is for a person to judge. The chain knows this export by its "
        f"digest, {found['digest']}: python verify.py FILE --digest DIGEST."
    )
    save(console, found)


def save(console: Console, found: Mapping[str, Any]) -> None:
    """The button that saves it, where this console can reach the file."""
    try:
        path = shelf.find(console.installation.settings.home, found["file"])
    except NotFound as error:
        st.caption(f"{error.message} {error.remedy} The monitors keep it in their own folder, evidence/.")
        return
    if not console.may(Action.EXPORT):
        return
    st.download_button(
        f"Save the archive ({words.size(found['bytes'])})",
        _reader(path),
        file_name=f"trimtab-{path.name}",
        mime="application/zip",
        icon=":material/download:",
        key="evidence-save",
        on_click="ignore",
    )


def _reader(path: Path) -> Any:
    """Reads the file when it is saved, not with each drawing of the page."""
    return path.read_bytes


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
