"""Preference data: is it safe and good enough to train on?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, funnel, marks, show, words
from dashboard.console import Console
from dashboard.views import asked, dataset, pair, pair_import, pair_quality, quarantine
from store.queries import commands as command_queries
from store.queries import pairs as queries
from store.unit_of_work import Tx


def draw(console: Console) -> None:
    """The funnel, the quarantine and what customs say; ?pair=UUID, ?dataset=UUID and ?show=import open one thing."""
    show.head("Preference data", "Is it safe and good enough to train on?")
    if st.query_params.get("dataset"):
        dataset.detail(console, st.query_params["dataset"])
    elif st.query_params.get("show") == "import":
        pair_import.draw(console)
    else:
        everything(console)
    if st.query_params.get("pair"):
        pair.drawer(console, st.query_params["pair"])


def read(tx: Tx) -> dict[str, Any]:
    """What the page shows of the rows as they are now."""
    checks = [row for row in command_queries.recent(tx, "check_pairs", {}) if row["state"] == "done"]
    return {
        "states": queries.counts(tx),
        "kept_back": queries.flagged(tx, ("quarantined", "rejected")),
        "held": queries.flagged(tx),
        "again": queries.repeats_left_out(tx),
        "papers": queries.papers(tx),
        "versions": queries.versions(tx),
        "check": checks[0] if checks else None,
        "said": command_queries.result(tx, checks[0]["uuid"]) if checks else {},
    }


def everything(console: Console) -> None:
    """All of it."""
    found = console.load("preference data", read)
    if not sum(found["states"].values()):
        show.empty(
            "No preference pair yet",
            (
                "Import a file with preview and row errors: press Import pairs.",
                "Or from a terminal: trimtab import pairs FILE.",
                "Pairs also come from feedback on answers, and from those that you label on the Traffic page.",
            ),
        )
        buttons(console, found)
        return
    verdict(console, found)
    drawn = funnel.steps(found["states"], found["kept_back"])
    show.chart(funnel.picture(drawn), f"From collected to approved. {funnel.described(drawn)}", "funnel")
    beside(found)
    buttons(console, found)
    asked.draw(console, "check_pairs", {}, lambda row: checked(console, row))
    asked.draw(console, "lock_dataset", {}, lambda row: locked(console, row))
    quarantine.draw(console, found["states"], found["held"])
    pair_quality.draw(found["said"], found["check"], console.now)
    pair_quality.papers(found["papers"])
    dataset.listed(console, found["versions"])


def verdict(console: Console, found: Mapping[str, Any]) -> None:
    """One sentence with its mark."""
    wanted, approved = console.installation.settings.retrain.minimum_pairs, found["states"]["approved"]
    held = found["states"]["quarantined"]
    level = "attention" if held or approved < wanted else "good" if found["check"] is not None else "unknown"
    enough = "enough for a run" if approved >= wanted else f"of the {wanted:,} that a run needs"
    waits = (
        f"{words.count(held, 'pair')} in quarantine {'waits' if held == 1 else 'wait'} for a person." if held else ""
    )
    looked = (
        f"Customs looked at them {words.ago(found['check']['finished_at'], console.now)}."
        if found["check"] is not None
        else "Customs have not looked at them together yet."
    )
    with st.container(key="headline", horizontal=True, vertical_alignment="center", gap="small"):
        show.mark(marks.LEVEL[level])
        st.text(f"{words.count(approved, 'approved pair')}, {enough}. {waits} {looked}".replace("  ", " "))


def beside(found: Mapping[str, Any]) -> None:
    """What the funnel does not show."""
    waiting, rejected = found["states"]["collected"], found["states"]["rejected"]
    told = [
        f"{words.count(waiting, 'pair')} not checked yet." if waiting else "",
        f"{words.count(rejected, 'pair')} rejected by a person." if rejected else "",
        f"{found['again']:,} rows of imported files were there already." if found["again"] else "",
    ]
    if any(told):
        st.text(" ".join(part for part in told if part))


def buttons(console: Console, found: Mapping[str, Any]) -> None:
    """Import, check, lock."""
    none = not found["states"]["approved"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        console.link("pairs", "Import pairs", "upload_file", show="import")
        if st.button(
            "Check now",
            icon=":material/policy:",
            key="check-do",
            disabled=none or not console.may(Action.CHECK_PAIRS),
            help="Takes the approved pairs through customs; what they hold goes into quarantine.",
        ):
            actions.ask_retrain(console, "check_pairs", {}, "Asked. What customs find shows here.")
            st.rerun()
        if st.button(
            "Lock a dataset …",
            icon=":material/lock:",
            key="lock",
            disabled=none or not console.may(Action.LOCK_DATASET),
        ):
            dataset.lock(console)


def checked(console: Console, row: Mapping[str, Any]) -> None:
    """What a check led to."""
    said = console.load(f"result {row['uuid']}", lambda tx: command_queries.result(tx, row["uuid"]))
    st.text(f"{words.count(said['pairs'], 'pair')} checked, {said['held_now']:,} of them quarantined now.")


def locked(console: Console, row: Mapping[str, Any]) -> None:
    """The dataset that was locked."""
    said = console.load(f"result {row['uuid']}", lambda tx: command_queries.result(tx, row["uuid"]))
    st.text(f"{said['train']:,} pairs to train on and {said['held_out']:,} held out, under {said['digest'][:16]}.")
    console.link("pairs", "Open its card", "description", dataset=said["dataset"])
