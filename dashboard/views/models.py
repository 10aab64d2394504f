"""Models: is the candidate better, and can I go back?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, marks, show, words
from dashboard.console import Console
from dashboard.views import again, compare, gate, model_card, override, prints, proposals, segments, service, trial
from store import deployments
from store.prints import listed
from store.queries import models as queries
from store.queries import runs as run_queries
from store.unit_of_work import Tx


def draw(console: Console) -> None:
    """The registry, or with ?version=NAME one version, or with ?decision=UUID a promotion to answer."""
    show.head("Models", "Is the candidate better, and can I go back?")
    version, decision = st.query_params.get("version", ""), st.query_params.get("decision", "")
    if version:
        detail(console, version)
    elif decision:
        promotion(console, decision)
    else:
        everything(console)


def everything(console: Console) -> None:
    """What serves, what waits for promotion, every version, and the history of releases."""

    def query(tx: Tx) -> dict[str, Any]:
        return {
            "route": queries.route(tx, console.deployment),
            "waiting": run_queries.proposals(tx, kinds=("promote",)),
            "versions": queries.registry(tx),
            "trials": trial.of(tx, console.deployment),
            "history": queries.history(tx, console.deployment),
            "earlier": [row["version"] for row in deployments.earlier(tx, console.deployment)],
            "segments": segments.query(tx, console.deployment),
        }

    found = console.load("models", query)
    route = found["route"]
    if route is None:
        show.empty("Nothing is deployed yet", ("Start Trimtab once: trimtab up. It installs the base model.",))
    else:
        serving(console, route, found["earlier"], found["segments"])
        segments.draw(console, found["segments"], route["version"])
    trial.both(console, found["trials"])
    for row in found["waiting"]:
        proposals.draw(console, row)
        gate_of(console, row["subject"], waits=proposals.waits(row, console))
    if found["versions"]:
        st.subheader("Versions", anchor=False)
        if len(found["versions"]) == 1:
            st.caption("Only the base model is there. A run that passes its gate adds the first version.")
        own = {row["version"] for row in found["segments"]}
        for row in found["versions"]:
            line(console, row, route, own)
    if found["history"]:
        st.subheader("Releases", anchor=False)
        history(found["history"])
    compare.draw(console, [row["name"] for row in found["versions"]])
    service.draw(console)


def serving(
    console: Console, route: Mapping[str, Any], earlier: Sequence[str], apart: Sequence[Mapping[str, Any]]
) -> None:
    """What answers now, whether that was proved, and the way back."""
    with st.container(border=True, key="serving"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            show.mark(marks.ROLE["champion"])
            if route["verified_at"] is not None:
                st.badge("Proved by fingerprint", icon=":material/fingerprint:", color="green")
            elif route["message"]:
                st.badge("Not proved", icon=":material/fingerprint:", color="red")
            else:
                st.badge("Proof pending", icon=":material/fingerprint:", color="gray")
        show.say(f"{console.deployment} serves {route['version']}", "big", "serving")
        since = f"since {words.clock_time(route['changed_at'])}, {words.ago(route['changed_at'], console.now)}"
        show.say(since, "quiet", "serving-since")
        if route["message"]:
            st.text(route["message"])
        if earlier:
            allowed = console.may(Action.ROLL_BACK)
            if st.button("Roll back …", icon=":material/undo:", key="roll-back", disabled=not allowed):
                go_back(console, route, earlier, [segments.named(row["deployment"]) for row in apart])
            if not allowed:
                st.caption("An approver can roll back.")
        else:
            st.caption("There is no earlier version to go back to.")


@st.dialog("Roll back?", width="medium")
def go_back(console: Console, route: Mapping[str, Any], earlier: Sequence[str], apart: Sequence[str]) -> None:
    """One reason and one click; which version, and whether in the segments `apart` too, only where there is one."""
    live, previous = route["version"], route["previous"]
    place = list(earlier).index(previous) if previous in earlier else 0
    to = st.selectbox("Serve again", list(earlier), index=place, key="back-to") if len(earlier) > 1 else earlier[0]
    st.text(f"{live} serves now. {to} answers every request within a second; {live} is kept.")
    if route["trial"]:
        st.text(f"The {route['trial']} of {route['candidate']} ends with it.")
    whole = True
    if apart:
        whole = st.checkbox("Also for the segments with a version of their own", value=True, key="back-whole")
        st.text(", ".join(apart))
    reason = st.text_input("What is wrong?", key="back-why", max_chars=500)
    if st.button("Roll back", type="primary", icon=":material/undo:", key="back-do"):
        show.close(actions.roll_back(console, reason, away_from=live, to=to, everybody=whole and bool(apart)))


def role_of(row: Mapping[str, Any], route: Mapping[str, Any] | None, own: Collection[str] = ()) -> str:
    """What a version is to the deployment, where `own` are the versions that segments have for themselves."""
    if route is not None and row["name"] == route["version"]:
        return "champion"
    if row["name"] in own:
        return "segment"
    if route is not None and row["name"] == route["previous"]:
        return "previous"
    return "earlier" if row["served"] else "candidate"


def kind_of(row: Mapping[str, Any]) -> str:
    """What a version is, in words."""
    return "whole model" if row["kind"] == "base" and row["path"] else str(row["kind"])


def line(console: Console, row: Mapping[str, Any], route: Mapping[str, Any] | None, own: Collection[str] = ()) -> None:
    """One version in the registry."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"version-{row['id']}"):
        show.mark(marks.ROLE[role_of(row, route, own)])
        with st.container(gap=None, width="stretch"):
            show.say(row["name"], "strong", f"version-{row['id']}")
            origin = (
                f"trained from {row['parent']}"
                if row["parent"]
                else {"base": "base model"}.get(row["kind"], row["kind"])
            )
            show.say(f"{origin} · {words.ago(row['created_at'], console.now)}", "quiet", f"version-{row['id']}")
        if row["verdict"] is not None:
            show.mark(marks.VERDICT.get(row["verdict"]))
        console.link("models", "Open", "arrow_forward", version=row["name"])


def history(rows: Sequence[Mapping[str, Any]]) -> None:
    """Releases as a table."""
    kinds = {"install": "First version", "promote": "Promotion", "rollback": "Rollback"}
    shown = [
        {
            **row,
            "kind": kinds.get(row["kind"], row["kind"]) + (f", canary {row['share']} %" if row["share"] else ""),
            "whom": segments.named(row["deployment"]),
            "outcome": row["message"] or row["evidence"].get("reason", ""),
            "state": marks.DEPLOYMENT.get(row["state"], marks.UNKNOWN).word,
            "proved": "yes" if row["verified_at"] is not None else "no" if row["ended_at"] else "not yet",
        }
        for row in rows
    ]
    columns = {
        "live_at": "Live since",
        "version": "Version",
        "kind": "What",
        "whom": "For",
        "state": "State",
        "actor": "By",
        "reason": "Why",
        "outcome": "Outcome",
        "proved": "Proved",
        "generation": "Generation",
    }
    show.table(shown, columns, alt="Releases, newest first", key="history")
    show.download(shown, list(columns), name="releases", key="history-csv")


def promotion(console: Console, uuid: str) -> None:
    """A proposal to promote, with the gate of its candidate."""
    console.link("models", "All models", "arrow_back")
    row = console.load(f"decision {uuid}", lambda tx: run_queries.decision(tx, uuid))
    if row is None:
        show.empty("There is no such proposal", ("It belongs to another installation. Choose one from the list.",))
        return
    proposals.draw(console, row)
    if row["kind"] == "promote":
        # A promotion for one segment names it behind the version.
        name = str(row["subject"]).partition("@")[0]
        trial.both(console, console.load(f"trial {name}", lambda tx: trial.of(tx, console.deployment, name)))
        gate_of(console, name, waits=proposals.waits(row, console))


def gate_of(console: Console, name: str, *, waits: bool) -> None:
    """The newest gate report of a version; `waits` says that its promotion does."""

    def query(tx: Tx) -> tuple[Any, str]:
        version, route = queries.one(tx, name), queries.route(tx, console.deployment)
        report = queries.gate(tx, version["id"]) if version is not None else None
        return report, route["version"] if route is not None else ""

    report, live = console.load(f"gate {name}", query)
    if report is None:
        st.text("No gate has judged this version.")
        return
    gate.draw(console, name, report, live, waits=waits)


def detail(console: Console, name: str) -> None:
    """One version: its gate, its proposal, its lineage and its card."""
    console.link("models", "All models", "arrow_back")

    def query(tx: Tx) -> dict[str, Any] | None:
        row = queries.one(tx, name)
        if row is None:
            return None
        route = queries.route(tx, console.deployment)
        report = queries.gate(tx, row["id"])
        lineage = queries.lineage(tx, name)
        return {
            "row": row,
            "route": route,
            "report": report,
            "proposal": queries.proposal(tx, name),
            "trials": trial.of(tx, console.deployment, name),
            "lineage": lineage,
            "prints": listed(tx, row["id"]),
            "own": {one["version"] for one in segments.query(tx, console.deployment)},
        }

    found = console.load(f"version {name}", query)
    if found is None:
        show.empty("There is no such version", ("Choose one from the list.",))
        return
    row, report = found["row"], found["report"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline"):
        show.mark(marks.ROLE[role_of(row, found["route"], found["own"])])
        st.text(row["name"])
    waits = found["proposal"] is not None and proposals.waits(found["proposal"], console)
    if found["proposal"] is not None:
        proposals.draw(console, found["proposal"])
    trial.both(console, found["trials"])
    if report is not None:
        live = found["route"]["version"] if found["route"] is not None else ""
        gate.draw(console, name, report, live, waits=waits)
        override.draw(console, name, report, found["route"])
        again.draw(console, name, report, found["route"], found["proposal"])
    elif row["parent"] or row["kind"] != "base":
        st.text("No gate has judged this version.")
    service.training(console, row)
    st.subheader("Where it comes from", anchor=False)
    lines = [
        f"{'from ' if step else ''}{ancestor['name']} ({kind_of(ancestor)}, {words.clock_time(ancestor['created_at'])})"
        for step, ancestor in enumerate(found["lineage"])
    ]
    st.text("\n".join(lines))
    show.facts({"Digest": row["digest"], "Base": row["base"]})
    prints.draw(console, name, row["fingerprint"], found["prints"])
    if row["run_uuid"]:
        console.link("runs", "The run that made it", "model_training", run=row["run_uuid"])
    model_card.draw(console, name)
    with st.expander("As it was registered"):
        st.json(dict(row["card"]), expanded=2)
