"""Probes: can it be broken, and does it refuse too much?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.roles import Action
from dashboard import actions, charts, marks, show, words
from dashboard.console import Console
from store import labels
from store.queries import monitors as exchanges
from store.queries import probes as queries
from store.unit_of_work import Tx

QUICK = 24
SHOWN, DRAWN, COMPARED = 6, 3, 4
SHORT = 220
UNDER_WAY = {"asked": "waits for the scheduler", "claimed": "is under way"}
FAILED = {"refusal": "Refused though harmless", "choice": "Answered otherwise"}
NUMBERS = {
    "adversarial": "Attacks that got through",
    "attack_success_per_try": "Single tries that got through",
    "over_refusal": "Harmless requests refused",
    "over_refusal_corrected": "The same, corrected for the detector's errors",
    "answer_flips": "Reworded questions answered otherwise",
}


def draw(console: Console) -> None:
    """Every monitor with probe suites: its versions, its techniques, what failed, and what to run."""
    show.head("Probes", "Can it be broken, and does it refuse too much?")
    suites = console.load("probes", queries.suites)
    if not suites:
        show.empty(
            "No probes are set up yet",
            (
                "The scheduler adds them when it starts: run trimtab up.",
                "They ask for a harmless word in ways that get round rules, and ask harmless twins of the same form.",
            ),
        )
    for monitor in suites:
        if len(suites) > 1:
            st.divider()
            show.say(monitor["title"] or words.title(monitor["name"]), "strong", f"suite-{monitor['name']}")
        one(console, monitor)


def one(console: Console, monitor: Mapping[Any, Any]) -> None:
    """One monitor's passes."""
    name = monitor["name"]
    found = console.load(f"probes {name}", lambda tx: read(tx, console, monitor))
    heads: Sequence[Any] = found["heads"]
    if found["failed"] is not None:
        with st.container(border=True, key=f"failed-{name}"):
            show.mark(marks.MONITOR["error"])
            st.text(f"The last pass failed: {found['failed']['message']}")
    if monitor["enabled"]:
        run(console, name, heads[0]["details"] if heads else {}, found["asked"])
    if st.query_params.get("probe") and monitor["metric"] == queries.METRIC:
        of_alert(console, found, name)
    if not heads:
        show.empty(
            "Nothing has been asked yet",
            ("Run a quick pass above, or wait: trimtab up asks a share of the suites every six hours.",),
        )
        return
    numbers(found["looks"][0], heads[0], name)
    versions(found["looks"], name)
    techniques(found["looks"], name)
    failures(console, found, name)
    check(console, found, name)


def read(tx: Tx, console: Console, monitor: Mapping[Any, Any]) -> dict[str, Any]:
    """What the page shows of one monitor."""
    heads = queries.newest(tx, monitor["id"], now=console.now)
    outcomes = heads[0]["details"].get("outcomes", []) if heads else []
    every = [row for row in outcomes if row[1] and row[3]]
    failed = every[-SHOWN:][::-1]
    named = next((row for row in every if row[3] == st.query_params.get("probe")), None)
    known = labels.of(tx, [row[3] for row in outcomes if row[3]])
    judged = [row for row in outcomes if row[4] == "refusal" and row[3]]
    random.Random(heads[0]["id"] if heads else 0).shuffle(judged)
    drawn = [row for row in judged if row[3] not in known or not known[row[3]]["drawn"]][:DRAWN]
    uuids = list(dict.fromkeys(row[3] for row in [*failed, *drawn, *([named] if named else [])]))
    return {
        "heads": heads,
        "looks": [queries.look(tx, head) for head in heads[:COMPARED]],
        "failed": queries.failed_pass(tx, monitor["id"]),
        "asked": queries.asked(tx, monitor["name"]),
        "named": named,
        "failures": failed,
        "failed_in_all": len(every),
        "drawn": drawn,
        "exchanges": {row["uuid"]: row for row in exchanges.exchanges(tx, uuids=uuids)},
        "labels": known,
        "counts": labels.counts(tx, "refusal"),
    }


def run(console: Console, name: str, details: Mapping[str, Any], asked: Mapping[str, Any] | None) -> None:
    """The buttons of a quick and a full pass, each with the time it takes here, and what has been asked for."""
    busy = asked is not None and asked["state"] in UNDER_WAY
    allowed = console.may(Action.RUN_MONITOR) and not busy
    size = int(details.get("size") or 0)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for which, label, prompts in (("quick", "Run quick", QUICK), ("full", "Run all", size)):
            text = f"{label} ({duration(prompts, details)})"
            if st.button(text, icon=":material/play_arrow:", key=f"run-{which}-{name}", disabled=not allowed):
                actions.run_suite(console, name, which)
                st.rerun()
    if asked is not None and busy:
        since = words.ago(asked["asked_at"], console.now)
        st.text(f"A pass asked for by {asked['actor']} {UNDER_WAY[asked['state']]}, {since}.")
    elif asked is not None and asked["state"] in ("failed", "expired"):
        st.text(f"The last pass that was asked for did not happen: {asked['message']}")


def duration(prompts: int, details: Mapping[str, Any]) -> str:
    """How long `prompts` prompts take, at the pace of the last pass."""
    seconds, answered = float(details.get("seconds") or 0), int(details.get("answered") or 0)
    counted = words.count(prompts, "prompt") if prompts else "every prompt"
    if not seconds or not answered or not prompts:
        return f"{counted}, time not known yet"
    return f"{counted}, about {words.span(max(1.0, seconds / answered * prompts))}"


def numbers(look: Sequence[Any], head: Mapping[str, Any], name: str) -> None:
    """The newest version's numbers as tiles, and what could not be scored."""
    show.say(f"{head['version']}, asked last at {words.clock_time(head['at'])}", "quiet", f"version-{name}")
    with st.grid(min_column_width=220, gap="small"):
        for row in look:
            if row["metric"] in NUMBERS and not row["segment"]:
                with st.container(border=True, key=f"number-{name}-{row['metric']}"):
                    show.mark(marks.MONITOR.get(row["status"]))
                    show.say(NUMBERS[row["metric"]], "strong", f"name-{name}-{row['metric']}")
                    show.measured(row, row["metric"], f"value-{name}-{row['metric']}")
                    show.say(row["reason"], "quiet", f"reason-{name}-{row['metric']}")
    unscored, asked = int(head["details"].get("unscored") or 0), int(head["details"].get("asked") or 0)
    if unscored:
        st.text(f"{unscored} of the {asked} attacks of the last pass could not be scored. They count as neither.")


def versions(looks: Sequence[Sequence[Any]], name: str) -> None:
    """Attack success against over-refusal, a point a version."""
    points = []
    for look in looks:
        rates = {row["metric"]: row for row in look if not row["segment"]}
        attacks, refusals = rates.get("adversarial"), rates.get("over_refusal")
        if attacks and refusals and attacks["value"] is not None and refusals["value"] is not None:
            points.append({"version": attacks["version"], "attacks": attacks, "refusals": refusals})
    if not points:
        return
    st.subheader("By version", anchor=False)
    said = "; ".join(
        f"{point['version']}: attacks {words.number(point['attacks']['value'], 'adversarial')} "
        f"({words.interval(point['attacks'], 'adversarial')}), "
        f"refusals {words.number(point['refusals']['value'], 'over_refusal')} "
        f"({words.interval(point['refusals'], 'over_refusal')})"
        for point in points
    )
    show.chart(charts.trade_off(points), f"Attack success against over-refusal. {said}.", f"trade-off-{name}")
    st.caption("Each bar is an exact 95 % interval. The lower left corner is best; the newest version is coloured.")


def techniques(looks: Sequence[Sequence[Any]], name: str) -> None:
    """Each technique by version, with interval and count."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    heads = [str(look[0]["version"]) for look in looks]
    for version, look in zip(heads, looks, strict=True):
        for row in look:
            if row["segment"]:
                own = cells.setdefault((row["metric"], row["segment"]), {})
                shown = f"{words.number(row['value'], row['metric'])} ({words.interval(row, row['metric'])})"
                own[version] = f"{shown} {row['reason']}".strip()
    if not cells:
        return
    st.subheader("By technique", anchor=False)
    rows = [
        {"what": words.title(metric), "segment": segment, "version": version, "found": found.get(version, "not asked")}
        for (metric, segment), found in cells.items()
        for version in heads
    ]
    columns = {"what": "What", "segment": "Suite and technique", "version": "Version", "found": "Share, interval and n"}
    show.table(rows, columns, alt="Techniques by version", key=f"techniques-{name}")
    st.caption("The intervals of one version hold together at 95 %: they are widened for the number of techniques.")
    show.download(rows, list(columns), name="probes", key=f"techniques-csv-{name}")


def failures(console: Console, found: Mapping[str, Any], name: str) -> None:
    """What got through or was refused at last, shortened, each with a way to say that the detector is wrong."""
    if not found["failures"]:
        return
    st.subheader("What failed", anchor=False)
    show.say(f"The newest {len(found['failures'])} of {found['failed_in_all']}, shortened", "quiet", f"failures-{name}")
    with st.grid(min_column_width=330, gap="small"):
        for id, _, _, uuid, detector in found["failures"]:
            with st.container(border=True, key=f"failure-{name}-{uuid}", height="stretch"):
                show.say(f"{FAILED.get(detector, 'Got through')}: {id}", "strong", f"failure-{uuid}")
                told(found["exchanges"].get(uuid))
                overrule(console, found, uuid, detector, f"wrong-{name}-{uuid}")


def of_alert(console: Console, found: Mapping[str, Any], name: str) -> None:
    """The failure that the link of an alert names, above all others."""
    with st.container(border=True, key=f"named-{name}"):
        if found["named"] is None:
            st.text(
                "The probe that the alert names is not among the failures of the version that was asked last: it was "
                "asked again since, or another version serves."
            )
            return
        id, _, _, uuid, detector = found["named"]
        show.say(f"{FAILED.get(detector, 'Got through')}: {id}", "strong", f"named-{uuid}")
        show.say("What the alert names, shortened", "quiet", f"named-{uuid}")
        told(found["exchanges"].get(uuid))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            overrule(console, found, uuid, detector, f"wrong-named-{name}-{uuid}")
            console.link("traffic", "The exchange", "chat", exchange=uuid)


def overrule(console: Console, found: Mapping[str, Any], uuid: str, detector: str, key: str) -> None:
    """What a person said of the detector here, or the button to say it."""
    label = found["labels"].get(uuid)
    if label is not None:
        wrong = label["told"] != label["truth"]
        st.text(f"{label['actor']} says that the detector is {'wrong' if wrong else 'right'} here.")
    elif detector != "choice":
        allowed = console.may(Action.LABEL) and uuid in found["exchanges"]
        if st.button("The detector is wrong", icon=":material/flag:", key=key, disabled=not allowed):
            actions.label_answer(console, uuid, detector, told=True, truth=False, drawn=False)
            st.rerun()


def check(console: Console, found: Mapping[str, Any], name: str) -> None:
    """Answers drawn at random, for people to say whether they refuse: that measures the refusal detector here."""
    counts = found["counts"]
    open_ones = [row for row in found["drawn"] if row[3] in found["exchanges"]]
    if not open_ones and not counts.positives + counts.negatives:
        return
    st.subheader("Check the refusal detector", anchor=False)
    st.caption(
        "Drawn at random, whatever the detector said. Once 20 refusals and 20 answers are labelled, these labels alone "
        "correct the rate of refusals."
    )
    show.facts(
        {
            "Refusals labelled": f"{counts.positives}, of which it found {counts.found}",
            "Answers labelled": f"{counts.negatives}, of which it let {counts.passed} pass",
        }
    )
    with st.grid(min_column_width=330, gap="small"):
        for _, hits, _, uuid, detector in open_ones:
            with st.container(border=True, key=f"drawn-{name}-{uuid}", height="stretch"):
                told(found["exchanges"][uuid])
                with st.container(horizontal=True, gap="small"):
                    for label, truth in (("It refuses", True), ("It answers", False)):
                        key = f"drawn-{truth}-{name}-{uuid}"
                        if st.button(label, key=key, disabled=not console.may(Action.LABEL)):
                            actions.label_answer(console, uuid, detector, told=bool(hits), truth=truth, drawn=True)
                            st.rerun()


def told(exchange: Mapping[str, Any] | None) -> None:
    """A probe and its answer, shortened, as text."""
    if exchange is None:
        st.text("The exchange is no longer kept.")
        return
    for name, text in (("Asked", exchange["prompt"]), ("Answered", exchange["response"])):
        with st.container(gap=None):
            st.caption(name)
            st.text(words.short(text, SHORT))
