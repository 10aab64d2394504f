"""The false-alarm budget: what the period has given out, each monitor's share of the rest, and another weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from store.limits import HEAVIEST
from store.queries import budget as queries
from store.queries.budget import Part, Period


def load(console: Console, weights: Mapping[str, float] | None = None) -> Period:
    """The running period, with `weights` tried in place of those that are kept."""
    settings = console.installation.settings.monitors
    name = f"budget {sorted((weights or {}).items())}"
    return console.load(name, lambda tx: queries.period(tx, settings.budget, weights=weights))


def draw(console: Console) -> None:
    """The period's spend and a row a statistical monitor."""
    period = load(console)
    if not period.parts:
        return
    st.subheader("False-alarm budget", anchor=False)
    spent(console, period)
    rows = [line(part) for part in period.parts]
    columns = {
        "monitor": "Monitor",
        "weight": "Weight",
        "share": "Share of what is left",
        "spent": "Given out",
        "epochs": "Epochs",
    }
    show.table(rows, columns, alt="Shares of the false-alarm budget by monitor", key="budget")
    st.caption(
        "Expected false alarms. Each epoch is given its part when it begins; adding, pausing, resuming or re-weighting "
        "a monitor divides what is left anew. Plain limits stand outside: they carry no guarantee."
    )


def spent(console: Console, period: Period) -> None:
    """What was given out of the budget, and until when it must last."""
    days = console.installation.settings.monitors.period_days
    st.progress(min(period.spent / period.total, 1.0))
    given = sum(part.epochs for part in period.parts)
    until = f"; the period ends {words.ago(period.ends_at, console.now)}" if period.ends_at else ""
    st.text(
        f"{period.spent:.3g} of {period.total:g} expected false alarms in {days} days given out, "
        f"to {words.count(given, 'epoch')}{until}."
    )


def line(part: Part) -> dict[str, str]:
    """A monitor's part in words."""
    share = f"{part.share * 100:.1f} %" if part.enabled else "none while it is paused"
    return {
        "monitor": words.title(part.monitor),
        "weight": f"{part.weight:g}",
        "share": share,
        "spent": f"{part.spent:.3g}",
        "epochs": f"{part.epochs:,}",
    }


def change(console: Console, monitor: Mapping[str, Any], revision: int) -> None:
    """Another weight for one monitor, with the shares that everybody would have."""
    name = monitor["name"]
    st.subheader("Change the weight", anchor=False)
    if monitor["weight"] <= 0:
        st.text("This monitor has no share of the false-alarm budget: its limit carries no guarantee.")
        return
    now = load(console)
    spent(console, now)
    weight = st.number_input(
        "Weight",
        min_value=0.1,
        max_value=HEAVIEST,
        value=float(monitor["weight"]),
        step=0.5,
        format="%g",
        key="weight-value",
        width=200,
    )
    then = load(console, {name: weight})
    before = {part.monitor: part for part in now.parts}
    rows = [
        {**line(part), "now": line(before[part.monitor])["share"], "left": f"{part.left:.3g} of {then.left:.3g}"}
        for part in then.parts
    ]
    columns = {
        "monitor": "Monitor",
        "weight": "Weight",
        "now": "Share now",
        "share": "Share then",
        "left": "Of what is left",
    }
    show.table(rows, columns, alt="Shares of the false-alarm budget now and then", key="weight-shares")
    st.text(
        "A larger share lets this monitor alarm sooner and the others later; the sum stays what it is. "
        "Epochs that run keep what they were given."
    )
    same = weight == monitor["weight"]
    if st.button(
        "Save the weight", type="primary", key="weight-save", disabled=same or not console.may(Action.EDIT_LIMIT)
    ):
        done = actions.set_weight(console, name, weight, revision=revision)
        if done:
            st.query_params.pop("change", None)
        if done or not show.mends():
            st.session_state.pop("_pinned", None)
        show.close(done)
    st.caption("Nothing is changed yet." if same else "To undo it, set the weight back.")
