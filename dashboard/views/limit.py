"""Changing a plain limit: the new one is tried on past looks before anybody saves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import streamlit as st

from core.roles import Action
from core.rules import Threshold, thresholds
from dashboard import actions, charts, show, words
from dashboard.console import Console
from dashboard.views.overview import RANGES
from store.limits import LONGEST_HOLD, firing
from store.queries import limits as queries
from store.queries.limits import Fired, Looks

SIDES = {"above": "at most", "below": "at least"}
LISTED = 10
DRAWN = 600


@dataclass(frozen=True, slots=True)
class Change:
    """What is about to be saved: the revision that was shown, the metric, its limit now and the one to be."""

    monitor: str
    revision: int
    about: str
    old: Threshold
    new: Threshold


def draw(console: Console, monitor: Mapping[str, Any], revision: int) -> None:
    """The form, what it would have done, and the button."""
    held = thresholds(monitor["rule"], monitor["metric"])
    if not held:
        show.empty("This monitor has no plain limit", ("A sequential test decides; change its weight instead.",))
        return
    st.subheader("Change the limit", anchor=False)
    about = next(iter(held))
    if len(held) > 1:
        about = st.selectbox("Limit of", list(held), format_func=words.title, key="limit-about") or about
    change = Change(monitor["name"], revision, about, held[about], form(about, held[about]))
    preview(console, monitor, change)
    fires = console.load(f"firing {monitor['name']}", lambda tx: firing(tx, monitor["name"]))
    st.text("The next look is held to it. Alerts that are over, past measurements and other monitors stay as they are.")
    same = change.new == change.old
    if st.button(
        "Save the limit …" if fires else "Save the limit",
        type="primary",
        key="limit-save",
        disabled=same or not console.may(Action.EDIT_LIMIT),
    ):
        if fires:
            confirm(console, change)
        else:
            save(console, change)
    st.caption("Nothing is changed yet." if same else "To undo it, set the limit back; both changes stay in the audit.")


def form(about: str, now: Threshold) -> Threshold:
    """The limit as the fields have it, in the metric's own unit."""
    scale, unit = words.unit(about)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        direction = st.selectbox(
            "Should be",
            list(SIDES),
            index=list(SIDES).index(now.direction),
            format_func=SIDES.__getitem__,
            key=f"limit-direction-{about}",
            width=140,
        )
        limit = st.number_input(
            f"Limit, in {unit.strip()}" if unit.strip() else "Limit",
            value=round(now.limit * scale, 6),
            format="%.6g",
            step=None if abs(now.limit * scale) >= 100 else 0.1,
            key=f"limit-value-{about}",
            width=200,
        )
        hold = st.number_input(
            "Fires after so many seconds past it",
            min_value=0,
            max_value=int(LONGEST_HOLD.total_seconds()),
            value=int(now.hold.total_seconds()),
            step=30,
            key=f"limit-hold-{about}",
            width=260,
        )
    value = now.limit if round(limit * 1.0, 6) == round(now.limit * scale, 6) else limit / scale
    return Threshold("below" if direction == "below" else "above", value, timedelta(seconds=hold), now.certain)


def preview(console: Console, monitor: Mapping[str, Any], change: Change) -> None:
    """How often the limit would have fired, when, and what the present one would have done."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.text("Tried on past looks")
        chosen = st.segmented_control(
            "Past",
            list(RANGES),
            default="7 d",
            required=True,
            key="limit-range",
            label_visibility="collapsed",
        )
    since = console.now - RANGES[chosen or "7 d"]
    looks = console.load(
        f"past {monitor['name']} {change.about} {chosen}",
        lambda tx: queries.past(tx, monitor["id"], change.about, since=since),
    )
    if not looks.decided:
        why = "No look" if not looks.count else f"None of {words.count(looks.count, 'look')} with enough data"
        st.text(f"{why} in the last {chosen}: what the limit would have done cannot be told.")
        return
    new, old = queries.would_fire(looks, change.new), queries.would_fire(looks, change.old)
    show.say(f"With this limit it would {times(len(new))} in the last {chosen}.", "strong", "limit-preview")
    present = "" if change.new == change.old else f"With the present limit it would {times(len(old))}. "
    counted = "Counts when the whole interval is past the limit. " if change.new.certain else ""
    st.text(f"{present}{counted}{scope(looks)}")
    picture(looks, change, new, str(chosen))
    if new:
        st.text("\n".join(moment(one) for one in new[-LISTED:][::-1]))
    if len(new) > LISTED:
        st.caption(f"The newest {LISTED} of {len(new):,}, in the picture too.")


def times(number: int) -> str:
    """Not have fired, have fired once, have fired 3 times."""
    return {0: "not have fired", 1: "have fired once"}.get(number, f"have fired {number:,} times")


def scope(looks: Looks) -> str:
    """On how many looks the answer rests."""
    cut = ", the newest of more," if looks.cut else ""
    since = words.clock_time(looks.first_at)
    return f"{looks.decided:,} of {words.count(looks.count, 'look')}{cut} since {since} had enough data."


def moment(one: Fired) -> str:
    """When it would have fired, how long, and for which segment."""
    began, ended = one.episode.fired_at, one.episode.resolved_at
    lasted = f"for {words.span((ended - began).total_seconds())}" if ended else "and it would be firing now"
    return f"{words.clock_time(began)}, {lasted}{f' ({one.segment})' if one.segment else ''}"


def picture(looks: Looks, change: Change, fired: Sequence[Fired], chosen: str) -> None:
    """The looks of the whole with the new limit, and a mark at each time it would have fired."""
    rows = looks.by_segment.get("", ())
    if not rows:
        return
    marks = [{"fired_at": one.episode.fired_at} for one in fired if not one.segment][-LISTED:]
    show.chart(
        charts.series(charts.thin(rows, DRAWN), change.about, limits=[change.new.limit], alarms=marks),
        f"{words.title(change.about)} over the last {chosen} against the new limit "
        f"{words.number(change.new.limit, change.about)}: it would {times(len(fired))}.",
        "limit-preview",
    )


def save(console: Console, change: Change, *, confirmed: bool = False, reason: str = "") -> None:
    """Write it, and go back to the monitor's page when that was done; else what was typed stays."""
    done = actions.set_limit(
        console,
        change.monitor,
        change.about,
        change.new,
        revision=change.revision,
        confirmed=confirmed,
        reason=reason,
    )
    if done:
        st.query_params.pop("change", None)
    if done or not show.mends():
        st.session_state.pop("_pinned", None)
    show.close(done)


@st.dialog("Change the limit of a monitor that fires?")
def confirm(console: Console, change: Change) -> None:
    """What that does to the alert; the button is the verb."""
    old, new = (
        words.limit({"limit": threshold.limit, "direction": threshold.direction}, change.about)
        for threshold in (change.old, change.new)
    )
    st.text(f"{words.title(change.about)}: {old} becomes {new}.")
    st.text("The alert that fires now ends at the next look whose value is within the new limit. What it said stays.")
    st.text("To undo it, set the limit back: an alert fires again at the next look past it.")
    reason = st.text_input("Why?", key="limit-why", max_chars=300)
    if st.button("Change the limit", type="primary", key="limit-do"):
        save(console, change, confirmed=True, reason=reason)
