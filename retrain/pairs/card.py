"""A dataset's card as a person reads it: Markdown made of the card's facts, stored with the version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.cards import code


def write_card(card: Mapping[str, Any]) -> str:
    """The card's text. Names and notes come from outside: they stand in code, where Markdown means nothing."""
    lines = [
        "# Dataset card",
        "",
        f"{card['pairs']['train']} pairs of {card['prompts']['train']} prompts to train on, "
        f"{card['pairs']['held_out']} of {card['prompts']['held_out']} held out.",
        "",
        f"- Split: {card['split']}; no prompt, nor one nearly the same, is on both sides.",
        f"- Contributors: {_contributors(card)}.",
    ]
    if (weighed := card["weighed"])["pairs"]:
        counts = "counts" if weighed["pairs"] == 1 else "count"
        lines.append(
            f"- {weighed['pairs']} of the pairs to train on {counts} less than one, {weighed['mean']:.2f} on average: "
            "by their own weight, or as their labels are doubtful."
        )
    if card["from"]:
        lines.append(f"- Given from {card['from']} to {card['to']}.")
    for title, counts in (
        ("Sources", card["sources"]),
        ("Licences", card["licences"]),
        ("Consent", card["consents"]),
        ("Versions that answered", card["versions"]),
        ("From collected to drawn", card["funnel"]),
        ("What customs marked", card["customs"].get("flags", {})),
        ("Checks that did not run", card["customs"].get("not_run", {})),
    ):
        if counts:
            lines += ["", f"## {title}", "", *(f"- {code(name)}: {code(count)}" for name, count in counts.items())]
    for title, name in (("What customs could not tell", "unseen"), ("Notes", "notes")):
        if told := card["customs"].get(name):
            lines += ["", f"## {title}", "", *(f"- {code(line)}" for line in told)]
    return "\n".join(lines) + "\n"


def _contributors(card: Mapping[str, Any]) -> str:
    if not card["contributors"]:
        return "none is named"
    if card["contributors_apart"]:
        return f"{card['contributors']}, none on both sides"
    return f"{card['contributors']}, some may be on both sides: too few to keep them apart"
