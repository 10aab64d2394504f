"""Dataset versions: locked under the digest of what they hold, each with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import actions, show, words
from dashboard.console import Console
from dashboard.views import pair_quality, propose
from dashboard.views.traffic import short
from store.queries import pairs as queries

TABLES = {
    "funnel": "From collected to drawn",
    "sources": "Sources",
    "licences": "Licences",
    "consents": "Consent",
    "versions": "Versions that answered",
}


def listed(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """The newest versions, each with the way to its card."""
    st.subheader("Dataset versions", anchor=False)
    if not rows:
        st.text("None yet. A run locks what it trains on; you can lock one before.")
        return
    for row in rows:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"dataset-{row['uuid']}"):
            with st.container(gap=None, width="stretch"):
                show.say(row["digest"][:16], "strong", row["uuid"])
                show.say(
                    f"{row['train_pairs']:,} to train on, {row['held_out_pairs']:,} held out, locked "
                    f"{words.ago(row['created_at'], console.now)}",
                    "quiet",
                    row["uuid"],
                )
            console.link("pairs", "Open", "arrow_forward", dataset=row["uuid"])


@st.dialog("Lock a dataset version?", width="medium")
def lock(console: Console) -> None:
    """What that does; the button is the verb."""
    settings = console.installation.settings.retrain
    most = st.number_input("Pairs to train on, at most", 4, 20_000, settings.max_train_pairs, 32, key="lock-most")
    st.text(
        "The approved pairs pass customs (what they hold goes into quarantine), are split by prompt and by "
        "contributor, and kept under the digest of their content with a card. "
        f"At most {settings.max_held_out_pairs:,} are held out."
    )
    st.text(
        "Nothing trains by it, and no pair is changed. A dataset cannot be changed or taken back; one that is not used "
        "costs nothing."
    )
    if st.button("Lock", type="primary", icon=":material/lock:", key="lock-do"):
        args, done = {"max_train_pairs": int(most)}, "Asked. The dataset shows here once customs are through."
        show.close(actions.ask_retrain(console, "lock_dataset", args, done))


def detail(console: Console, uuid: str) -> None:
    """One version's card."""
    console.link("pairs", "All preference data", "arrow_back")
    row = console.load(f"dataset {uuid}", lambda tx: queries.version(tx, uuid))
    if row is None:
        show.empty("There is no such dataset", ("It belongs to another installation. Choose one from the list.",))
        return
    propose.button(console, ("retrain",), dataset=row["digest"], label="Propose a run on it …")
    propose.progress(console, dataset=row["digest"])
    card: Mapping[str, Any] = row["card"]
    st.subheader("Dataset card", anchor=False)
    show.facts(
        {
            "Digest": row["digest"],
            "Locked": words.clock_time(row["created_at"]),
            "To train on": of(card, "train", row["train_pairs"]),
            "Held out": of(card, "held_out", row["held_out_pairs"]),
            "Counted less": weighed(card),
            "Split": card.get("split"),
            "Contributors": contributors(card),
            "Conversations": card.get("sessions"),
            "Given": f"{card['from'][:16]} to {card['to'][:16]}".replace("T", " ") if card.get("from") else "",
        }
    )
    st.caption("Nothing in it can change: other pairs, or the same on other sides, are another version.")
    customs = card.get("customs", {})
    lists = {title: card.get(name, {}) for name, title in TABLES.items()}
    lists["What customs marked"] = customs.get("flags", {})
    lists["Checks that did not run"] = customs.get("not_run", {})
    lines = [
        {"about": title, "name": short(str(name)), "value": short(str(value))}
        for title, values in lists.items()
        for name, value in values.items()
    ]
    columns = {"about": "About", "name": "What", "value": "How many, or why"}
    show.table(lines, columns, alt="What the card counts", key="card")
    for note in customs.get("notes", ()):
        st.text(f"• {note}")
    pair_quality.unseen(customs.get("unseen", ()))
    with st.container(horizontal=True, gap="small"):
        show.download(lines, list(columns), name=f"dataset-{row['digest'][:12]}", key="card-csv")
        if card.get("text"):
            st.download_button(
                "Save the card",
                card["text"],
                file_name=f"dataset-{row['digest'][:12]}.md",
                mime="text/markdown",
                icon=":material/description:",
                key="card-text",
                on_click="ignore",
            )


def of(card: Mapping[str, Any], side: str, count: int) -> str:
    """Pairs and prompts of one side."""
    prompts = card.get("prompts", {}).get(side)
    return f"{words.count(count, 'pair')}" + (f" of {words.count(prompts, 'prompt')}" if prompts else "")


def weighed(card: Mapping[str, Any]) -> str:
    """How many pairs train with less weight, as their labels are doubtful; nothing where all count whole."""
    found = card.get("weighed", {})
    if not found.get("pairs"):
        return ""
    return f"{words.count(found['pairs'], 'pair')}, {found['mean']:.2f} on average"


def contributors(card: Mapping[str, Any]) -> str:
    """How many, and whether any may be on both sides."""
    if "contributors" not in card:
        return ""
    apart = "none on both sides" if card.get("contributors_apart") else "some may be on both sides"
    return f"{card['contributors']:,}, {apart}" if card["contributors"] else "none is named"
