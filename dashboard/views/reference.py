"""Taking another window as the reference of a sequential monitor: which, why, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, words
from dashboard.console import Console
from dashboard.views import asked, budget
from store.limits import firing
from store.queries import monitors as queries

MOST = 5000
BY_COUNT, BY_DATE = "The last rows", "Since a date"


def draw(console: Console, monitor: Mapping[str, Any], revision: int) -> None:
    """The choice of the window, what it changes and what stays, and the button."""
    name = monitor["name"]
    st.subheader("Take a window as reference", anchor=False)
    asked.draw(console, "take_reference", {"monitor": name})
    epochs = console.load(f"epochs {name}", lambda tx: queries.epochs_of(tx, monitor["id"], 1))
    if not epochs or epochs[0]["ended_at"] is not None:
        st.text("The monitor is still collecting its first reference: there is none to replace yet.")
        return
    epoch = epochs[0]
    begun = words.clock_time(epoch["started_at"])
    st.text(f"It compares with {epoch['reference_rows']:,} rows since {begun}. {epoch['reason']}")
    window = choose(console, epoch)
    reason = st.text_input("Why does the present reference no longer fit?", key="reference-why", max_chars=300)
    fires = console.load(f"firing {name}", lambda tx: firing(tx, name))
    left = budget.load(console).left
    st.text(
        "• The running epoch ends. The next compares what comes from now on with that window.\n"
        f"• It is given its own share of the {left:.3g} expected false alarms that are left in this period.\n"
        "• Rows, measurements, alerts that are over and the other monitors stay as they are.\n"
        "• To undo it, take an earlier date; the share that was given stays given."
    )
    confirmed = False
    if fires:
        confirmed = st.checkbox(
            "What the firing alert found becomes usual: it ends at the first look that has enough new rows",
            key="reference-ends-alert",
        )
    ready = bool(reason.strip()) and (confirmed or not fires)
    if st.button(
        "Take as reference",
        type="primary",
        key="reference-do",
        disabled=not ready or not console.may(Action.TAKE_REFERENCE),
    ):
        shown = {"epoch": epoch["number"], "confirmed": confirmed}
        args = {"monitor": name, **window, "reason": reason.strip(), **shown}
        actions.ask_monitors(console, "take_reference", args, "Asked. The new epoch shows below within seconds.")
        st.rerun()
    if not ready:
        st.caption("It needs a reason." if not reason.strip() else "It needs your word on the alert that fires.")


def choose(console: Console, epoch: Mapping[Any, Any]) -> dict[str, Any]:
    """The window as a command names it: so many rows, or the first moment of a day (UTC)."""
    by = st.segmented_control("Window", [BY_COUNT, BY_DATE], default=BY_COUNT, required=True, key="reference-by")
    if by == BY_DATE:
        day: date = st.date_input(
            "From the beginning of (UTC)", value=console.now.date(), max_value=console.now.date(), key="reference-since"
        )
        st.caption(f"At most the newest {MOST:,} rows since then.")
        return {"since": datetime.combine(day, time(), UTC).isoformat()}
    usual = min(max(int(epoch["reference_rows"]), 1), MOST)
    units = st.number_input(
        "Rows that the monitor has read last", min_value=1, max_value=MOST, value=usual, step=50, key="reference-rows"
    )
    return {"units": int(units)}
