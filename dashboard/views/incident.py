"""What an alert about probes rests on: each one that failed, when and by which version, and the ways to see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import show, words
from dashboard.console import Console

METRIC = "adversarial"
TITLES = {"over_refusal": "What was refused though harmless"}
SHOWN = 6
SHORT = 160


def named(alert: Any) -> list[tuple[str, str]]:
    """The probes that the alert names, each with its captured exchange's uuid; none for other alerts."""
    found = (alert["why"].get("details") or {}).get("exchanges") or []
    return [(str(probe), str(uuid)) for probe, uuid in found]


def draw(console: Console, alert: Mapping[str, Any], metric: str, exchanges: Mapping[str, Mapping[str, Any]]) -> None:
    """The probes of an alert of `metric`, with the captured `exchanges` by uuid. The probes' own texts are not shown:
    they are on the Probes page, shortened, and in the exchange."""
    why: Mapping[str, Any] = alert["why"]
    if metric != METRIC or not why or alert["kind"] != "rule":
        return
    probes = named(alert)
    st.subheader(TITLES.get(str(why.get("metric")), "What got through"), anchor=False)
    failures = int((why.get("details") or {}).get("failures") or len(probes))
    if not probes:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text("The alert names no exchange.")
            console.link("probes", "What failed last", "arrow_forward")
        return
    if failures > len(probes[:SHOWN]):
        st.caption(f"{len(probes[:SHOWN])} of {failures:,}; the Probes page has what failed last.")
    with st.grid(min_column_width=330, gap="small"):
        for probe, uuid in probes[:SHOWN]:
            one(console, probe, uuid, exchanges.get(uuid))


def one(console: Console, probe: str, uuid: str, exchange: Mapping[str, Any] | None) -> None:
    """A probe that failed."""
    with st.container(border=True, key=f"incident-{uuid}", height="stretch"):
        with st.container(gap=None):
            show.say(probe, "strong", f"incident-{uuid}")
            if exchange is None:
                st.text("The exchange is no longer kept.")
                return
            when = f"{exchange['version']}, {words.clock_time(exchange['at'])}"
            show.say(when, "quiet", f"incident-{uuid}")
        with st.container(gap=None):
            st.caption("Answered")
            st.text(words.short(exchange["response"], SHORT) or "Nothing.")
        with st.container(horizontal=True, gap="small"):
            console.link("probes", "On the Probes page", "security", probe=uuid)
            console.link("traffic", "The exchange", "chat", exchange=uuid)
