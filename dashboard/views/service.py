"""How well the newest requests were served and what they cost, by version or segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import streamlit as st

from core.types import Estimate
from dashboard import service, show, words
from dashboard.console import Console
from store.queries import service as queries
from store.unit_of_work import Tx

RANGES = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1), "7 d": timedelta(days=7)}


def draw(console: Console) -> None:
    """The section, closed until somebody asks: a look at the versions need not wait for thousands of requests."""
    section = st.expander("Service and cost", key="service-open", icon=":material/speed:", on_change="rerun")
    if section.open:
        with section:
            fill(console)


def fill(console: Console) -> None:
    """What to group by, the table, and how far back it reaches."""
    rows = console.load("service", lambda tx: queries.newest(tx, console.deployment))
    if not rows:
        st.text("No request has been answered yet.")
        return
    with st.container(horizontal=True, gap="medium"):
        by = st.selectbox("By", service.cuts(rows), key="service-by", width=220)
        span = st.segmented_control("Time", list(RANGES), default="24 h", key="service-range") or "24 h"
    kept = service.within(rows, console.now - RANGES[span])
    if not kept:
        st.text(f"No live request in {span}.")
        return
    rates = console.installation.settings.cost
    found = service.groups(kept, by, rates)
    columns = {
        "name": words.title(by) if by == service.VERSION else "Segment",
        "requests": "Requests",
        **{word: f"Time {word}" for word in service.QUANTILES},
        "first_token": "First token p95",
        "errors": "Errors",
        "speed": "Tokens/s, median",
        "tokens": "Tokens in + out",
        "seconds": "Request-seconds",
        **({"money": f"Cost ({rates.currency})"} if service.priced(rates) else {}),
    }
    show.table(
        [line(group) for group in found], columns, alt=f"Service levels and cost by {words.title(by)}", key="service"
    )
    if len(kept) == queries.NEWEST:
        st.caption(f"These are the newest {queries.NEWEST:,} requests, since {words.clock_time(kept[-1]['at'])}.")
    if not service.priced(rates):
        st.caption("Money appears once prices are set: cost.prompt_million, cost.completion_million, cost.server_hour.")


def line(group: service.Group) -> dict[str, str]:
    """A group as a row of the table: each value with its interval and count."""
    return {
        "name": group.name or "(none)",
        "requests": f"{group.requests:,}",
        **{word: told(estimate, "latency_ms") for word, estimate in group.latency.items()},
        "first_token": told(group.first_token, "first_token_ms"),
        "errors": told(group.errors, "errors"),
        "speed": told(group.speed),
        "tokens": f"{group.prompt_tokens:,} + {group.completion_tokens:,}",
        "seconds": f"{group.seconds:,.0f}",
        "money": f"{group.money:,.4f}",
    }


def training(console: Console, version: Mapping[str, Any]) -> None:
    """What making a version cost and how many answers pay it back; nothing where prices are not set."""
    rates = console.installation.settings.cost
    if not (version["run_uuid"] and version["parent"] and rates.training_hour and rates.poor_answer):
        return

    def query(tx: Tx) -> dict[str, Any]:
        return {
            "hours": queries.run_hours(tx, version["run_uuid"]),
            "before": queries.disliked(tx, console.deployment, version["parent"]),
            "after": queries.disliked(tx, console.deployment, version["name"]),
        }

    found = console.load(f"payback {version['name']}", query)
    if found["hours"] is None:
        return
    result = service.payback(found["hours"], found["before"], found["after"], rates)
    st.subheader("What its training cost and saves", anchor=False)
    show.facts(
        {
            "Training": f"{words.number(result.cost)} {rates.currency}",
            "Fewer answers disliked": told(result.better, words.POINTS),
            "Pays for itself after": pays(result),
        }
    )
    st.caption(
        "Training hours at cost.training_hour; each answer saves the share fewer disliked, among judged answers, times "
        "cost.poor_answer. Judged answers are those that people chose to judge."
    )


def pays(result: service.Payback) -> str:
    """When training pays for itself, in words."""
    soonest, latest = result.answers
    if result.better.value is None:
        return "not enough data"
    if soonest is None:
        return "never: no fewer answers are disliked"
    return f"{soonest:,.0f} to {latest:,.0f} answers" if latest is not None else f"{soonest:,.0f} answers, or never"


def told(estimate: Estimate, metric: str = "") -> str:
    """An estimate in one cell."""
    row = asdict(estimate)
    if estimate.value is None:
        return words.missing(row)
    return f"{words.number(estimate.value, metric)} ({words.interval(row, metric)})"
