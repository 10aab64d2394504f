"""Audit: who did what, on what evidence, and can I prove it?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import show, words
from dashboard.console import Console
from dashboard.views import evidence
from store import audit
from store.queries import audit as queries

PAGE = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def draw(console: Console) -> None:
    """The chain's check on demand, and its newest events."""
    show.head("Audit", "Who did what, on what evidence, and can I prove it?")
    subject = st.query_params.get("subject", "")
    before = st.query_params.get("before", "")
    start = int(before) if before.isdigit() and len(before) < 16 else None
    rows, count = console.load(
        f"audit {subject} {start}",
        lambda tx: (queries.newest(tx, limit=PAGE, before=start, subject=subject), queries.count(tx)),
    )
    st.text(f"{words.count(count, 'event')}. Each carries the hash of the one before it.")
    if st.button("Check the chain", icon=":material/link:", key="verify"):
        st.session_state["_checked"] = console.load("chain", lambda tx: audit.verify(tx))
    verdict(st.session_state.get("_checked"))
    evidence.draw(console)
    if not rows:
        show.empty("No events", ("The first entry is the installation itself.",))
        return
    shown = [
        {
            "id": row["id"],
            "at": _EPOCH + timedelta(microseconds=row["at"]),
            "actor": row["actor"],
            "kind": row["kind"],
            "subject": row["subject"],
            "body": json.dumps(row["body"], ensure_ascii=False, sort_keys=True) if row["body"] else "",
            "hash": row["hash"],
        }
        for row in rows
    ]
    columns = {
        "id": "No.",
        "at": "At",
        "actor": "Who",
        "kind": "What",
        "subject": "Of",
        "body": "Details",
        "hash": "Hash",
    }
    show.table(shown, columns, alt="Audit events, newest first", key="events")
    with st.container(horizontal=True):
        if console.may(Action.EXPORT):
            show.download(shown, list(columns), name="audit", key="audit-csv")
        if len(rows) == PAGE:
            more = {"subject": subject} if subject else {}
            console.link("audit", "Older", "arrow_forward", before=str(rows[-1]["id"]), **more)


def verdict(found: Any) -> None:
    """What the last check said."""
    if found is None:
        return
    with st.container(border=True, key="chain"):
        if found.bad is None:
            st.badge("Unbroken", icon=":material/check_circle:", color="green")
            st.text(f"{words.count(found.count, 'event')}: {found.reason}. Head {found.head[:16]} …")
        else:
            st.badge("Broken", icon=":material/link_off:", color="red")
            st.text(f"Event {found.bad}: {found.reason}. Nothing after event {found.count} can be relied on.")
