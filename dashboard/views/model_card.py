"""A version's model card: what it is, what it learnt from, how it was judged and its limits, to read and to keep."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.cards import write_card
from dashboard.console import Console
from store.queries import cards
from store.unit_of_work import Tx


def draw(console: Console, name: str) -> None:
    """The card of the version `name` as text, with a download."""

    def query(tx: Tx) -> dict[str, Any] | None:
        return cards.facts(tx, name)

    found = console.load(f"card {name}", query)
    if found is None:
        return
    text = write_card(found)
    with st.expander("Model card"):
        st.code(text, language=None, wrap_lines=True)
        st.download_button(
            "Save the card",
            text.encode(),
            file_name="model-card.md",
            mime="text/markdown",
            icon=":material/download:",
            key="model-card",
            on_click="ignore",
        )
