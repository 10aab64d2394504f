"""Traffic: what are people asking, and what do we answer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from dashboard.views import exchange, mending, topic_map
from store.queries import alerts as alert_queries
from store.queries import traffic as queries
from store.queries.traffic import Found, Wanted

SINCE: Mapping[str, timedelta | None] = {
    "any time": None,
    "1 hour": timedelta(hours=1),
    "24 hours": timedelta(days=1),
    "7 days": timedelta(days=7),
    "30 days": timedelta(days=30),
}
FILTERS = ("words", "version", "label", "since")
SHORT = 240
COLUMNS = {"at": "At", "said": "People said", "prompt": "Prompt", "response": "Answer", "version": "Version"}


def draw(console: Console) -> None:
    """The map and a list of exchanges; ?exchange=UUID opens one of them in the drawer."""
    show.head("Traffic", "What are people asking, and what do we answer?")
    drawn = None
    if st.query_params.get("show") == "queue":
        queue(console)
    elif st.query_params.get("alert"):
        of_alert(console, st.query_params["alert"])
    else:
        drawn = everything(console)
    if st.query_params.get("exchange"):
        exchange.drawer(console, st.query_params["exchange"], drawn or topic_map.newest(console))


def everything(console: Console) -> topic_map.Drawn | None:
    """The map, the topics, and the exchanges that the lasso, the topic or the search chose."""
    wanted = asked_for(console)
    found = console.load(f"traffic {wanted}", lambda tx: queries.search(tx, console.deployment, wanted))
    if not found.rows and wanted == Wanted():
        show.empty(
            "No exchange was captured yet",
            (
                "Send a request to the gateway: trimtab up prints its address.",
                "Or replay the demonstration's traffic: trimtab demo.",
                "Or bring in what you have: trimtab import.",
            ),
        )
        return None
    drawn = topic_map.newest(console)
    ids = topic_map.draw(console, drawn)
    topic = topic_map.chosen_topic(drawn)
    waiting = console.load("queue size", queries.queue_size)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Exchanges", anchor=False)
        console.link("traffic", f"Waiting to be labelled ({waiting})", "label", show="queue")
    if not ids and drawn is not None and topic is not None:
        ids = drawn.of_topic(topic)
        show.say(f"Of the topic {drawn.topics[topic]['name']}", "strong", "topic")
        console.link("traffic", "All exchanges", "close")
    if ids:
        rows = console.load(f"chosen {ids[: queries.PAGE]}", lambda tx: queries.by_ids(tx, ids[: queries.PAGE]))
        if len(ids) > len(rows):
            st.text(f"The first {len(rows)} of {len(ids)} chosen.")
        listed(console, rows, "chosen")
        return drawn
    search(console)
    results(console, found)
    return drawn


def asked_for(console: Console) -> Wanted:
    """What the address asks for."""
    params = st.query_params
    before = params.get("before", "")
    age = SINCE.get(params.get("since", ""))
    return Wanted(
        words=params.get("words", "").strip()[:200],
        version=params.get("version", ""),
        label=params.get("label", ""),
        # To the minute, so that what was read a moment ago serves again.
        since=(console.now - age).replace(second=0, microsecond=0) if age is not None else None,
        before=int(before) if before.isdigit() and len(before) < 18 else queries.END,
    )


def search(console: Console) -> None:
    """The form; what it says goes into the address."""
    params = st.query_params
    names = console.load("version names", queries.version_names)
    versions = ["", *names] if params.get("version", "") in ("", *names) else ["", params["version"], *names]
    with st.form("search", border=False), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        said = {
            "words": st.text_input("Words in prompt or answer", params.get("words", ""), max_chars=200, key="words"),
            "version": st.selectbox(
                "Version",
                versions,
                versions.index(params.get("version", "")),
                format_func=lambda name: name or "any",
                key="version",
                width=200,
            ),
            "label": st.text_input(
                "Segment", params.get("label", ""), max_chars=200, placeholder="plan=free", key="label", width=180
            ),
            "since": st.selectbox(
                "Captured in the last",
                list(SINCE),
                list(SINCE).index(params["since"]) if params.get("since") in SINCE else 0,
                key="since",
                width=160,
            ),
        }
        sent = st.form_submit_button("Search", icon=":material/search:", key="search-do")
    if sent:
        kept = {name: str(value) for name, value in said.items() if value and value != "any time"}
        params.from_dict(kept)
        st.rerun()


def results(console: Console, found: Found) -> None:
    """A page of what was found, and the way on."""
    kept = {name: st.query_params[name] for name in FILTERS if st.query_params.get(name)}
    if found.rows:
        listed(console, found.rows, "found")
    else:
        st.text("No exchange matches here.")
    with st.container(horizontal=True, vertical_alignment="center"):
        if found.scanned_to is not None:
            st.text(f"Searched back to {words.clock_time(found.scanned_to)}: {queries.SCANNED:,} exchanges.")
        if found.older is not None:
            label = "Older" if found.scanned_to is None else "Search further back"
            console.link("traffic", label, "arrow_forward", before=str(found.older), **kept)
        if kept or st.query_params.get("before"):
            console.link("traffic", "All, newest first", "close")


def queue(console: Console) -> None:
    """What waits to be labelled."""
    console.link("traffic", "All traffic", "arrow_back")
    st.subheader("Waiting to be labelled", anchor=False)
    rows, size = console.load("queue", lambda tx: (queries.queued(tx), queries.queue_size(tx)))
    if not rows:
        show.empty("Nothing waits to be labelled", ("Open an exchange, or an alert's answers to label, and queue it.",))
        return
    if size > len(rows):
        st.text(f"The {len(rows)} that wait longest of {size:,}.")
    listed(console, rows, "queue", queue=False)


def of_alert(console: Console, uuid: str) -> None:
    """The answers to label first because of an alert."""
    console.link("traffic", "All traffic", "arrow_back")
    alert = console.load(f"mending {uuid}", lambda tx: alert_queries.one(tx, uuid))
    names = mending.to_label(alert) if alert is not None else []
    if alert is None or not names:
        show.empty("This alert names no answers to label", ("They are named for topics that grew.",))
        return
    st.subheader("To label because of an alert", anchor=False)
    console.link("alerts", "The alert", "notifications", alert=uuid)
    listed(console, console.load(f"to label {uuid}", lambda tx: queries.by_uuids(tx, names)), "alert")


def listed(console: Console, rows: Sequence[Mapping[str, Any]], key: str, *, queue: bool = True) -> None:
    """Exchanges as a table of which one can be opened, queued as a whole, or saved. All of it is captured text."""
    said = console.load(
        f"said {key} {[row['id'] for row in rows]}", lambda tx: queries.said_of(tx, [row["id"] for row in rows])
    )
    told = [{**row, "said": said.get(row["id"], "")} for row in rows]
    shown = [{**row, "prompt": short(row["prompt"]), "response": short(row["response"])} for row in told]
    uuids = [str(row["uuid"]) for row in rows]

    def choose(place: int | None) -> None:
        if place is not None:
            st.query_params["exchange"] = uuids[place]

    st.caption("Choose a row to open it.")
    show.choose(shown, COLUMNS, alt="Captured exchanges", key=f"rows-{key}-{uuids[0]}", chosen=choose)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if queue and st.button(
            f"Queue {words.count(len(rows), 'exchange')} for labelling",
            icon=":material/label:",
            key=f"queue-{key}",
            disabled=not console.may(Action.LABEL),
        ):
            actions.queue_exchanges(console, uuids)
            st.rerun()
        if console.may(Action.EXPORT):
            show.download(told, ["uuid", *COLUMNS, "labels"], name="traffic", key=f"csv-{key}")


def short(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 2 * SHORT].split())
    return line if len(line) <= SHORT and len(text) <= 2 * SHORT else f"{line[:SHORT]} …"
