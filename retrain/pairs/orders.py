"""Carries out what the Preference data page asks: preview and import a file, run customs, lock a dataset."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import InvalidInput
from core.roles import Action
from core.settings import Settings
from core.types import PreferencePair
from gateway.imports import PAPERS, import_pairs
from retrain.pairs import clearing, drawing, margins, preview
from retrain.pairs.customs.shares import allowed
from store import accounts, staging
from store.carrying import Carrier, Report
from store.unit_of_work import Store

OWNER = "retrain"
SHOWN_CONTRIBUTORS = 10


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the work is done: the store, the settings, the clock."""

    store: Store
    settings: Settings
    clock: Callable[[], datetime]


async def obey(desk: Desk, process: str, *, ending: Callable[[], bool] = lambda: False) -> str:
    """Carry out the oldest command that waits; returns a line about it, or an empty text without one. What is under way
    when the process must end (`ending`) is handed back."""

    async def work(row: Mapping[Any, Any], report: Report) -> Mapping[str, Any]:
        return await asyncio.to_thread(WORK[row["kind"]], desk, row["args"], row["actor"], report)

    return await Carrier(desk.store, OWNER, process, desk.clock, ending).carry(WORK, work)


def look(desk: Desk, args: Mapping[str, Any], actor: str, report: Report) -> dict[str, Any]:
    """What an import of the staged file would bring; nothing is kept but this."""
    path = staging.find(desk.settings.home, str(args.get("digest", "")))
    with desk.store.read() as tx:
        return preview.look(tx, path, _named(args), _mapping(args), _papers(args), progress=report)


def bring_in(desk: Desk, args: Mapping[str, Any], actor: str, report: Report) -> dict[str, Any]:
    """Import the staged file, all its rows or none."""
    path = staging.find(desk.settings.home, str(args.get("digest", "")))
    done = import_pairs(
        desk.store,
        path,
        _mapping(args),
        actor=actor,
        now=desk.clock(),
        progress=lambda share, note: report(share),
        name=_named(args),
        papers=_papers(args),
        most_bytes=preview.MOST_BYTES,
    )
    return {"rows": done.rows, "new_rows": done.new_rows, "digest": done.digest}


def check(desk: Desk, args: Mapping[str, Any], actor: str, report: Report) -> dict[str, Any]:
    """Take the approved pairs through customs and quarantine what they hold; returns what they said of the lot."""
    found, cleared = _clear(desk, report)
    with desk.store.write(desk.clock()) as tx:
        accounts.require(tx, actor, Action.CHECK_PAIRS)
        held = clearing.hold(tx, cleared)
    spread = contributors(found, cleared.summary, desk.settings.retrain.contributor_share)
    # One line a contributor may be thousands; those who gave most are in the spread.
    figures = {name: told for name, told in cleared.summary["figures"].items() if name != "reliability"}
    return {**cleared.summary, "figures": figures, "held_now": held, "contributors": spread}


def lock(desk: Desk, args: Mapping[str, Any], actor: str, report: Report) -> dict[str, Any]:
    """Take the approved pairs through customs, and lock what a run would draw from them now as a dataset."""
    asked, settings = args.get("max_train_pairs"), desk.settings.retrain
    most = asked if isinstance(asked, int) and asked > 0 else settings.max_train_pairs
    # A run's steps would limit it further; a dataset that is locked by itself is not a run's yet.
    spec = {
        "max_train_pairs": most,
        "max_held_out_pairs": settings.max_held_out_pairs,
        "steps": most,
        "pairs_per_step": settings.pairs_per_step,
    }
    _, cleared = _clear(desk, report)
    for _ in range(drawing.DRAWS):
        with desk.store.read() as tx:
            ground = drawing.look(tx, cleared)
        drawn = drawing.draw(ground, spec, share=settings.contributor_share)
        with desk.store.write(desk.clock()) as tx:
            accounts.require(tx, actor, Action.LOCK_DATASET)
            row = drawing.lock(tx, drawn, actor=actor)
        if row is not None:
            sides = {"train": len(drawn.train), "held_out": len(drawn.held_out)}
            return {"dataset": row["uuid"], "digest": row["digest"], **sides}
    raise drawing.changed()


WORK: Mapping[str, Callable[[Desk, Mapping[str, Any], str, Report], dict[str, Any]]] = {
    "preview_pairs": look,
    "import_pairs": bring_in,
    "check_pairs": check,
    "lock_dataset": lock,
}


def contributors(found: Sequence[PreferencePair], summary: Mapping[str, Any], share: float) -> dict[str, Any]:
    """How the pairs spread over contributors: how many are named, who gave most, and how reliable each of them is."""
    counts = Counter(pair.contributor for pair in found if pair.contributor)
    known = summary["figures"].get("reliability", {}).get("overlapping", {})
    most = [
        {"name": name, "pairs": count, "reliability": known.get(name)}
        for name, count in counts.most_common(SHOWN_CONTRIBUTORS)
    ]
    named = sum(counts.values())
    return {"named": named, "people": len(counts), "at_most": allowed(counts, share), "most": most, "n": len(found)}


def _clear(desk: Desk, report: Report) -> tuple[list[PreferencePair], clearing.Cleared]:
    with desk.store.read() as tx:
        found, held_before = clearing.read(tx)
    if not found:
        raise InvalidInput("There is no approved pair yet.", "Import some, or wait for feedback.")
    share = desk.settings.retrain.contributor_share
    # The model is asked by runs, in a child: what it said last is known of most pairs.
    known = margins.newest(desk.settings)
    return found, clearing.clear(
        found,
        held_before,
        share=share,
        seed=drawing.SPLIT_SEED,
        known=known,
        progress=lambda done, note: report(0.95 * done),
    )


def _named(args: Mapping[str, Any]) -> str:
    return str(args.get("name", ""))[:200]


def _mapping(args: Mapping[str, Any]) -> dict[str, str]:
    given = args.get("map", {})
    return {str(field): str(column) for field, column in given.items()} if isinstance(given, dict) else {}


def _papers(args: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(args[name])[:200] for name in PAPERS if args.get(name)}
