"""Works out beside a proposal to retrain whether it will help: minutes of work, so never in a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.errors import NotFound
from core.settings import Settings
from core.types import PreferencePair
from models.encoder import EncoderMissing
from retrain.prospects import MOST, Embed, foresee
from store import commands, datasets, decisions, pairs, versions
from store.carrying import Carrier, Report
from store.unit_of_work import Store, Tx

OWNER, KIND = "retrain", "foresee"
ACTOR = "system:policy"
# Texts between two looks at whether the work is to be left.
_AT_ONCE = 64
_UNCOUNTED = "What the serving version learnt from thumbs is not counted: the gain over it may be smaller."
_MISSING = EncoderMissing.__name__


def ask(tx: Tx, decision: str, settings: Settings) -> str:
    """Ask the worker to foresee what the proposal `decision` may gain; returns the command's uuid."""
    within = timedelta(hours=settings.retrain.decision_hours)
    args = {"decision": decision}
    return commands.ask(tx, KIND, owner=OWNER, args=args, actor=ACTOR, expires_in=within)


def lacking(tx: Tx) -> list[str]:
    """The proposals to retrain that wait and whose newest outlook failed because no encoder was prepared."""
    waiting = [str(row["uuid"]) for row in decisions.waiting(tx) if row["kind"] == "retrain"]
    newest = {uuid: commands.newest(tx, KIND, {"decision": uuid}) for uuid in waiting}
    return [uuid for uuid, row in newest.items() if row is not None and row["result"].get("error") == _MISSING]


def ask_again(tx: Tx, settings: Settings) -> None:
    """Ask once more for those. For the time when there is an encoder: any other failure then stays as it is."""
    for uuid in lacking(tx):
        ask(tx, uuid, settings)


async def work(
    store: Store, embed: Embed, process: str, *, clock: Callable[[], datetime], ending: Callable[[], bool]
) -> str:
    """Carry out the oldest request that waits; returns a line about it, or an empty text when there is none."""

    async def one(row: Mapping[Any, Any], report: Report) -> Mapping[str, Any]:
        return await asyncio.to_thread(look, store, embed, str(row["args"].get("decision", "")), report)

    return await Carrier(store, OWNER, process, clock, ending).carry((KIND,), one)


def look(store: Store, embed: Embed, decision: str, report: Report) -> dict[str, Any]:
    """What the proposal `decision` may gain (retrain.prospects.foresee). Raises NotFound without such a proposal."""
    with store.read() as tx:
        spec = decisions.get(tx, decision)["body"]["spec"]
        found = _at_hand(tx, spec.get("dataset", ""))[-MOST:]
        known, thumbs = datasets.learnt_by(tx, str(spec["champion"])), _from_thumbs(tx, str(spec["champion"]))
    # Of each pair both answers and the prompt.
    done, of = 0, 3 * len(found)

    def embed_part(texts: Sequence[str]) -> Any:
        nonlocal done
        parts = []
        for start in range(0, len(texts), _AT_ONCE):
            report(done / of)
            parts.append(embed(texts[start : start + _AT_ONCE]))
            done += len(parts[-1])
        return np.concatenate(parts) if parts else embed([])

    told = foresee(found, embed_part, known=known)
    return {**told, "sentence": f"{told['sentence']} {_UNCOUNTED}"} if thumbs else told


def _from_thumbs(tx: Tx, version: str) -> bool:
    """Whether `version`, or one that it was trained from, learnt from thumbs rather than pairs."""
    seen: set[str] = set()
    while version and version not in seen:
        seen.add(version)
        try:
            row = versions.get(tx, version)
        except NotFound:
            return False
        if row.card.get("spec", {}).get("trainer") == "kto":
            return True
        version = row.parent
    return False


def _at_hand(tx: Tx, dataset: str) -> list[PreferencePair]:
    """The pairs of the locked dataset that the run names, or else all that are approved."""
    if not dataset:
        return pairs.approved(tx, MOST)
    id = datasets.named(tx, dataset)["id"]
    return [pair for side in ("train", "held_out") for pair in datasets.members(tx, id, side)]
