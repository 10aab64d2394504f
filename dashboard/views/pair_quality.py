"""What customs said of the approved pairs as a whole, and the papers of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import funnel, show, words
from dashboard.views.traffic import short
from estimates.proportions import proportion
from store.queries import pairs as queries

STYLE = {
    "longer": "Longer",
    "more lines": "More lines",
    "more exclamation marks": "More exclamations",
    "a list, code or other markup": "Lists, code, markup",
}
AGREEMENT = {
    "people": "Between people",
    "model": "With other prompts",
    "reference": "With the model as it is",
    "held_out": "With the model, held out",
}


def draw(said: Mapping[str, Any], check: Mapping[str, Any] | None, now: datetime) -> None:
    """Length and style, agreement, repeats, contributors and notes of the newest check."""
    st.subheader("What a model would learn from them", anchor=False)
    if check is None:
        st.text("Not known: customs have not looked at the pairs together yet. Press Check now.")
        return
    figures = said["figures"]
    show.say(
        f"Of {words.count(said['pairs'], 'pair')} that were approved when {check['actor']} had them checked "
        f"{words.ago(check['finished_at'], now)}.",
        "quiet",
        "quality-when",
    )
    biases(figures.get("style", {}))
    agreement(figures.get("agreement", {}))
    repeats(said)
    contributors(said["contributors"])
    for note in said["notes"]:
        st.text(f"• {note}")
    unseen(said.get("unseen", ()))
    if said["not_run"]:
        with st.expander("Checks that did not run"):
            st.text("\n".join(f"{words.title(name)}: {why}." for name, why in said["not_run"].items()))


def unseen(sentences: Sequence[str]) -> None:
    """What customs could not tell: that nothing was found there says nothing."""
    if sentences:
        st.caption("What customs could not tell, and what it would take")
        for sentence in sentences:
            st.text(f"• {sentence}")


def biases(style: Mapping[str, Any]) -> None:
    """How often the chosen answer is the longer or the more decorated one."""
    rows = [(name, estimate(style[key])) for key, name in STYLE.items() if key in style]
    if not rows:
        return
    st.caption(
        "How often the chosen answer has more: at one half there is no bias, far from it a model may learn just that"
    )
    show.chart(funnel.shares(rows), told(rows), "style")
    prompts = style.get("prompts", {})
    if prompts:
        st.text(
            f"{words.count(prompts['n'], 'pair')} of {words.count(prompts['different'], 'different prompt')}, "
            f"as varied as {prompts['as_varied_as']:,.0f} prompts that are equally frequent."
        )


def agreement(found: Mapping[str, Any]) -> None:
    """How far people agree with each other, and the labels with what other prompts teach."""
    rows = [(name, estimate(found[key])) for key, name in AGREEMENT.items() if key in found]
    if rows:
        st.caption(
            "Agreement of people on the same answers, and of labels with what other prompts' pairs teach. One half is "
            "chance."
        )
        show.chart(funnel.shares(rows), told(rows), "agreement")


def repeats(said: Mapping[str, Any]) -> None:
    """Exact and near repeats."""
    found = said["figures"].get("duplicates")
    if found:
        st.text(
            f"Repeats: {found['exact']:,} exact and {found['near']:,} near ones among "
            f"{words.count(said['pairs'], 'pair')}. The same text word by word is collected once only."
        )


def contributors(found: Mapping[str, Any]) -> None:
    """Who gave most, with the share that a draw takes at most, and how reliable they are where others judged too."""
    if not found["named"]:
        st.text("No pair names its contributor, so that shares and reliability are not known.")
        return
    st.caption(
        f"Contributors: {words.count(found['people'], 'person', 'people')} gave {found['named']:,} of "
        f"{words.count(found['n'], 'pair')}; a draw takes at most {found['at_most']:,} from one"
    )
    rows = [
        {
            "name": row["name"][:8],
            "pairs": f"{row['pairs']:,}",
            "share": f"{words.number(row['pairs'] / found['n'], funnel.SHARE)} of {found['n']:,}",
            "reliable": reliable(row["reliability"]),
        }
        for row in found["most"]
    ]
    columns = {"name": "Contributor", "pairs": "Pairs", "share": "Share", "reliable": "Agrees with others"}
    show.table(rows, columns, alt="Contributors who gave most", key="contributors")


def reliable(found: Mapping[str, Any] | None) -> str:
    """An accuracy by Dawid and Skene with its interval, or why there is none."""
    if found is None:
        return "too few pairs that others judged too"
    read = {"value": found["accuracy"], "low": found["low"], "high": found["high"], "n": found["items"]}
    return funnel.share(read)


def papers(rows: Sequence[Mapping[str, Any]]) -> None:
    """Source, licence and consent, with counts."""
    if not rows:
        return
    total = sum(int(row["pairs"]) for row in rows)
    st.subheader("Where they come from", anchor=False)
    newest = f"the newest {total:,}" if total >= queries.NEWEST else f"{total:,}"
    sessions, versions = (sum(int(row[f"with_{name}"]) for row in rows) for name in ("session", "version"))
    st.text(
        f"Of {newest} pairs {share_of(sessions, total)} name their conversation and {share_of(versions, total)} the "
        "version that answered."
    )
    shown = [
        {
            "source": short(row["source"]) or "not said",
            "licence": short(row["licence"]) or "none",
            "consent": short(row["consent"]) or "not said",
            "pairs": f"{row['pairs']:,}",
            "approved": f"{row['approved']:,}",
        }
        for row in rows
    ]
    columns = {"source": "Source", "licence": "Licence", "consent": "Consent", "pairs": "Pairs", "approved": "Approved"}
    show.table(shown, columns, alt="Sources, licences and consent", key="papers")
    show.download(shown, list(columns), name="preference-sources", key="papers-csv")


def share_of(count: int, total: int) -> str:
    """A part of what was counted, all of it: no sample, so no interval."""
    return f"{words.number(count / total, funnel.SHARE)}"


def estimate(found: Mapping[str, Any]) -> dict[str, Any]:
    """A figure of a check as an estimate: its value, interval and count, or how many more are needed."""
    value = found.get("value", found.get("share"))
    needed = found.get("needed") or (proportion(0, int(found["n"])).needed if value is None else 0)
    return {"value": value, "low": found["low"], "high": found["high"], "n": found["n"], "needed": needed}


def told(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """A figure of shares in words."""
    return " ".join(f"{name}: {funnel.share(found)}." for name, found in rows)
