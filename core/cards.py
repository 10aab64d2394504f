"""A model card as a person reads it (Mitchell et al. 2019): Markdown made of a version's facts, known by digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.events import digest

_LONGEST = 200
UNKNOWN = "not stated"


def write_card(facts: Mapping[str, Any]) -> str:
    """The card's text; the same facts give the same text, and its last line is their digest.

    `facts` are those of `store.queries.cards.facts`. Names and notes come from outside: they stand in code, where
    Markdown means nothing.
    """
    lines = [f"# Model card: {code(facts['name'])}", ""]
    for title, part in (
        ("What it is", _identity(facts)),
        ("Intended use", _use(facts)),
        ("Training", _training(facts)),
        ("Training data", _data(facts["data"])),
        ("Evaluation", _evaluation(facts["gate"])),
        ("Limits", _limits(facts)),
    ):
        found = list(part)
        if found:
            lines += [f"## {title}", "", *(f"- {line}" for line in found), ""]
    return "\n".join([*lines, f"Digest of these facts: {code(digest(dict(facts)))}", ""])


def code(value: Any) -> str:
    """`value` as inline code that nothing in it can end."""
    told = " ".join(str(value).replace("`", "'").split())[:_LONGEST]
    return f"`{told or ' '}`"


def _identity(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"Kind: {code(facts['kind'])}, registered {facts['created_at']}."
    yield f"Digest of its files: {code(facts['digest'])}"
    yield f"Fingerprint of its answers: {code(facts['fingerprint'] or 'not taken yet')}"
    if facts["base"]:
        base = facts["base"]
        yield f"Base model: {code(base['name'])}, digest {code(base['digest'])}, licence {code(base['licence'])}."
    yield f"Licence: {code(facts['licence'])}"
    if facts["parent"]:
        yield f"Trained from: {code(facts['parent'])}"


def _use(facts: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "To answer behind this installation's gateway, watched by its monitors, for the kind of traffic that its "
        "training data came from."
    )
    yield "For nothing else was it evaluated; decisions about people are not among what it was made for."


def _training(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facts["training"].items():
        yield f"{name}: {code(value)}"


def _data(data: Mapping[str, Any] | None) -> Iterator[str]:
    if data is None:
        return
    yield f"Dataset version: {code(data['digest'])}"
    told = data["pairs"]
    yield f"{told.get('train', 0)} pairs to train on, {told.get('held_out', 0)} held out, no prompt on both sides."
    for title in ("sources", "licences"):
        counts = ", ".join(f"{code(name)} {count}" for name, count in data[title].items())
        yield f"{title.capitalize()}: {counts or UNKNOWN}"
    if data["from"]:
        yield f"Given from {data['from']} to {data['to']} by {data['contributors']} contributors."


def _evaluation(gate: Mapping[str, Any] | None) -> Iterator[str]:
    if gate is None:
        yield "No gate judged it."
        return
    yield f"Gate against {code(gate['champion'])}, {gate['at']}: {code(gate['verdict'])}."
    for check in gate["checks"]:
        yield f"{code(check['name'])}: {check['verdict']}{_figures(check)}"


def _figures(check: Mapping[str, Any]) -> str:
    estimate = check["estimate"]
    if not estimate:
        return "."
    if estimate["value"] is None:
        return f", not enough data (n = {estimate['n']})."
    limit = f", limit {check['limit']:.3g}" if isinstance(check["limit"], int | float) else ""
    ends = f"[{estimate['low']:.3f}, {estimate['high']:.3f}]"
    return f", difference {estimate['value']:.3f} {ends}, n = {estimate['n']}{limit}."


def _limits(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["kind"] == "adapter":
        yield "It is an adapter: what its base does not know, or does wrong, it mostly shares."
    if facts["data"] is not None:
        yield "On topics without pairs among its training data, nothing was learnt and little was measured."
    gate = facts["gate"]
    open_ones = [check["name"] for check in gate["checks"] if check["verdict"] != "pass"] if gate else []
    if open_ones:
        yield f"Not passed: {', '.join(code(name) for name in open_ones)}."
    yield "Figures are of the prompts asked then; what changed since is on the monitors."
