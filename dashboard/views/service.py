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
        **({"computing": "Computing-seconds"} if any(group.computing is not None for group in found) else {}),
        **({"money": f"Cost ({rates.currency})"} if service.priced(rates) else {}),
    }
    show.table(
        [line(group) for group in found], columns, alt=f"Service levels and cost by {words.title(by)}", key="service"
    )
    if len(kept) == queries.NEWEST:
        st.caption(f"These are the newest {queries.NEWEST:,} requests, since {words.clock_time(kept[-1]['at'])}.")
    if not service.priced(rates):
        st.caption("Money appears once prices are set: cost.prompt_million, cost.completion_million, cost.server_hour.")


def computing(group: service.Group) -> str:
    """What the server says it computed, and for how many answers where those are not all."""
    if group.computing is None:
        return "not told"
    part = f" of {words.count(group.computed, 'answer')}" if group.computed < group.requests else ""
    return f"{group.computing:,.1f}{part}"


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
        "computing": computing(group),
        "money": f"{group.money:,.4f}",
    }


def training(console: Console, version: Mapping[str, Any]) -> None:
    """What making a version cost, and what pays it back: cheaper answers, or fewer that people dislike.

    Nothing where the price of training and of neither is set.
    """
    rates = console.installation.settings.cost
    if not (version["run_uuid"] and version["parent"] and rates.training_hour):
        return
    if not (rates.poor_answer or service.priced(rates)):
        return

    def query(tx: Tx) -> dict[str, Any]:
        deployment, parent, name = console.deployment, version["parent"], version["name"]
        return {
            "hours": queries.run_hours(tx, version["run_uuid"]),
            "disliked": [queries.disliked(tx, deployment, one) for one in (parent, name)],
            "priced": [queries.priced(tx, deployment, one) for one in (parent, name)],
            "answered": queries.answered(tx, deployment, name),
        }

    found = console.load(f"payback {version['name']}", query)
    if found["hours"] is None:
        return
    result = service.payback(found["hours"], found["disliked"][0], found["disliked"][1], rates)
    facts = {"Training": f"{words.number(result.cost)} {rates.currency} ({found['hours']:.2f} hours)"}
    if service.priced(rates):
        before, after = found["priced"]
        saved = service.saving(result.cost, before, after, found["answered"], rates)
        facts |= {"An answer costs less by": told(saved.each), "Paid back by cheaper answers": repays(saved)}
        if saved.so_far is not None:
            low, high = (f"{words.number(amount)} {rates.currency}" for amount in saved.so_far)
            more = "at least " if found["answered"] == queries.COUNTED else ""
            facts["Saved so far"] = f"{low} to {high}, over {more}{words.count(found['answered'], 'answer')}"
    if rates.poor_answer:
        facts |= {"Fewer answers disliked": told(result.better, words.POINTS), "Pays for itself after": pays(result)}
    st.subheader("What its training cost and saves", anchor=False)
    show.facts(facts)
    st.caption(
        "Training hours at cost.training_hour. Cheaper: the newest answers of the version before and of this one, at "
        "the prices set, whoever asked. Disliked: each answer saves the share fewer disliked, among judged answers, "
        "times cost.poor_answer; judged answers are those that people chose to judge."
    )


def repays(saved: service.Saving) -> str:
    """Whether cheaper answers pay the training back, in words."""
    soonest, latest = saved.answers
    if saved.each.value is None:
        return f"not enough evidence: {words.missing(asdict(saved.each))}"
    if soonest is None:
        return "does not pay back at this rate: its answers cost as much as before, or more"
    if latest is None:
        return f"not enough evidence: after {soonest:,.0f} answers at the best, or never"
    return f"after {soonest:,.0f} to {latest:,.0f} answers"


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
