"""Bringing in a file of preference pairs: choose, look at what it would bring, then bring in all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.errors import InvalidInput, TrimtabError
from core.roles import Action
from dashboard import actions, show, words
from dashboard.console import Console
from dashboard.views import asked
from store import staging
from store.queries import commands as queries

LARGEST_MB = 32
PAPERS = {"source": "Source", "licence": "Licence", "consent": "Consent"}


def draw(console: Console) -> None:
    """The form, then what became of the file that the address names."""
    console.link("pairs", "All preference data", "arrow_back")
    st.subheader("Import pairs", anchor=False)
    st.text(
        "JSON lines, plain or gzipped: prompt, chosen, rejected; TRL, OpenAI and hh-rlhf forms are known by their "
        "columns. You see what the file would bring before anything is brought; then all of it is, or nothing."
    )
    form(console)
    about = {"digest": st.query_params.get("file", "")}
    if about["digest"]:
        asked.draw(console, "preview_pairs", about, lambda row: preview(console, row))
        asked.draw(console, "import_pairs", about, lambda row: imported(console, row))


def form(console: Console) -> None:
    """Which file, how its columns are called, and what holds for rows that do not say it."""
    allowed = console.may(Action.IMPORT)
    with st.form("pairs-file", border=True):
        file = st.file_uploader("File", key="pairs-upload", max_upload_size=LARGEST_MB, disabled=not allowed)
        columns = st.text_input(
            "Columns with other names", key="pairs-map", max_chars=500, placeholder="chosen=better, rejected=worse"
        )
        st.caption("For rows that do not say it themselves:")
        with st.container(horizontal=True, gap="small"):
            papers = {
                name: st.text_input(label, key=f"pairs-{name}", max_chars=200, width=220)
                for name, label in PAPERS.items()
            }
        sent = st.form_submit_button(
            "Preview", type="primary", icon=":material/preview:", key="pairs-preview", disabled=not allowed
        )
    if not allowed:
        st.caption("An operator can import.")
    if sent:
        try:
            if file is None:
                raise InvalidInput("No file was chosen.", "Choose one.")
            args = {"name": file.name[:200], "map": read_map(columns), **papers}
            digest = staging.put(console.installation.settings.home, file.getvalue(), now=console.installation.clock())
        except TrimtabError as error:
            show.show_error(error)
            return
        args = {"digest": digest, **{name: value for name, value in args.items() if value}}
        if actions.ask_retrain(console, "preview_pairs", args, "The file is being read. Nothing is imported yet."):
            st.query_params["file"] = digest
        st.rerun()


def read_map(text: str) -> dict[str, str]:
    """FIELD=COLUMN, … as a mapping. Raises InvalidInput."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, sign, column = (piece.strip() for piece in part.partition("="))
        if not (sign and field and column):
            raise InvalidInput("A column is named as field=column.", "For example: chosen=better, rejected=worse.")
        found[field] = column
    return found


def preview(console: Console, row: Mapping[str, Any]) -> None:
    """What the file would bring, and the button that brings it."""
    found = console.load(f"result {row['uuid']}", lambda tx: queries.result(tx, row["uuid"]))
    wrong = found["wrong"]
    show.say(str(row["args"].get("name", "")), "strong", f"file-{row['uuid']}")
    show.facts(
        {
            "Rows": f"{found['rows']:,}",
            "New pairs": f"{found['new']:,}",
            "There already": f"{found['already']:,}",
            "Wrong rows": f"{wrong['count']:,}",
            "Would wait in quarantine": f"{found['held']:,}",
            "Contributors": f"{found['contributors']:,}",
            "Without a time": f"{found['undated']:,}",
        }
    )
    if found["flags"]:
        held = ", ".join(f"{words.title(flag).lower()} {count:,}" for flag, count in found["flags"].items())
        st.text(f"The first checks would hold: {held}.")
    counted = [
        {"about": title, "name": name, "pairs": f"{count:,}"}
        for field, title in (("sources", "Source"), ("licences", "Licence"), ("consents", "Consent"))
        for name, count in found[field].items()
    ]
    columns = {"about": "About", "name": "Says", "pairs": "Pairs"}
    show.table(counted, columns, alt="Papers of the file", key=f"papers-{row['uuid']}")
    if wrong["count"]:
        st.text(
            f"{words.count(wrong['count'], 'wrong row')}, so nothing can be imported. Correct them and choose again."
        )
        errors = [{"line": line, "what": what} for line, what in wrong["first"]]
        columns = {"line": "Line", "what": "What is wrong"}
        show.table(errors, columns, alt="Wrong rows", key=f"wrong-{row['uuid']}")
        show.download(errors, list(columns), name="wrong-rows", key=f"wrong-csv-{row['uuid']}")
    elif found["first"]:
        columns = {"prompt": "Prompt", "chosen": "Chosen", "rejected": "Rejected"}
        st.caption(f"The first {len(found['first'])} rows, shortened")
        show.table(found["first"], columns, alt="The first rows", key=f"first-{row['uuid']}")
    ready = found["new"] > 0 and not wrong["count"] and console.may(Action.IMPORT)
    if st.button(
        f"Import {words.count(found['new'], 'pair')}",
        icon=":material/upload_file:",
        key=f"import-{row['uuid']}",
        disabled=not ready,
    ):
        actions.ask_retrain(console, "import_pairs", row["args"], "Asked. All rows are written, or none.")
        st.rerun()


def imported(console: Console, row: Mapping[str, Any]) -> None:
    """How it ended."""
    found = console.load(f"result {row['uuid']}", lambda tx: queries.result(tx, row["uuid"]))
    st.text(
        f"{words.count(found['rows'], 'row')} read, {found['new_rows']:,} of them new. The first checks look at them "
        "within seconds."
    )
    console.link("pairs", "See them", "arrow_forward")
