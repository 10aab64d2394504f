"""Works out beside a proposal to retrain whether it will help: minutes of work, so never in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.errors import Conflict, NotFound, TrimtabError
from core.settings import Settings
from core.types import PreferencePair
from retrain.prospects import MOST, Embed, foresee
from store import commands, datasets, decisions, pairs
from store.unit_of_work import Store, Tx

OWNER, KIND = "retrain", "foresee"
ACTOR = "system:policy"
LEASE_SECONDS = 120.0
# Texts between two looks at whether the process must end, and two renewals of the lease.
_AT_ONCE = 64


class _Ending(Exception):
    """The process must end; another one works it out once the lease has run out."""


def ask(tx: Tx, decision: str, settings: Settings) -> str:
    """Ask the worker to foresee what the proposal `decision` may gain; returns the command's uuid."""
    within = timedelta(hours=settings.retrain.decision_hours)
    args = {"decision": decision}
    return commands.ask(tx, KIND, owner=OWNER, args=args, actor=ACTOR, expires_in=within)


def work(store: Store, embed: Embed, process: str, *, clock: Callable[[], datetime], ending: Callable[[], bool]) -> str:
    """Carry out the oldest request that waits; returns a line about it, or an empty text when there is none."""
    with store.read() as tx:
        if not commands.waits(tx, OWNER, KIND):
            return ""
    with store.write(clock()) as tx:
        row = commands.claim(tx, OWNER, process, LEASE_SECONDS, kinds=(KIND,))
    if row is None:
        return ""
    decision = str(row["args"].get("decision", ""))

    reached = [0.0]

    def embed_part(texts: Sequence[str]) -> Any:
        parts = []
        for start in range(0, len(texts), _AT_ONCE):
            if ending():
                raise _Ending
            parts.append(embed(texts[start : start + _AT_ONCE]))
            with store.write(clock()) as tx:
                commands.progress(tx, row["id"], reached[-1], process=process, lease_seconds=LEASE_SECONDS)
        return np.concatenate(parts) if parts else embed([])

    try:
        with store.read() as tx:
            spec = decisions.get(tx, decision)["body"]["spec"]
            found = _at_hand(tx, spec.get("dataset", ""))
            known = datasets.learnt_by(tx, str(spec["champion"]))
        told = foresee(found, embed_part, known=known, report=reached.append)
    except (Conflict, NotFound, _Ending):
        return ""
    except TrimtabError as error:
        words = str(error)
        _end(store, clock, lambda tx: commands.fail(tx, row["id"], words, process=process))
        return f"what retraining may gain was not worked out: {error.message}"
    _end(store, clock, lambda tx: commands.finish(tx, row["id"], told, process=process))
    return f"foreseen for the proposal {decision}: {told['sentence']}"


def _at_hand(tx: Tx, dataset: str) -> list[PreferencePair]:
    """The pairs of the locked dataset that the run names, or else all that are approved."""
    if not dataset:
        return pairs.approved(tx, MOST)
    id = datasets.named(tx, dataset)["id"]
    return [pair for side in ("train", "held_out") for pair in datasets.members(tx, id, side)]


def _end(store: Store, clock: Callable[[], datetime], end: Callable[[Tx], Any]) -> None:
    try:
        with store.write(clock()) as tx:
            end(tx)
    except (Conflict, NotFound):
        return  # it expired or another worker took it over
