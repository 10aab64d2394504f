"""Carries out what pages ask of this process: propose what a person wants decided, compare versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from core.errors import Conflict, NotFound, TrimtabError, Unavailable
from core.settings import Settings
from retrain import comparison, decide
from retrain.candidate import Bench
from store import commands, decisions
from store.unit_of_work import Tx

OWNER = "retrain"
LEASE_SECONDS = 60.0
# What each command asks for, and the names of its arguments.
ASKS: MappingProxyType[str, tuple[Callable[..., str], tuple[str, ...]]] = MappingProxyType(
    {
        "propose": (decide.ask, ("kind", "reason", "alert")),
        "override": (decide.ask_override, ("version", "report", "reason")),
    }
)


def obey(tx: Tx, settings: Settings, process: str) -> str:
    """Carry out the oldest command that waits; returns a line about it, or an empty text when there is none.

    The proposal and the end of its command are one transaction: a kill leaves both or neither.
    """
    row = commands.claim(tx, OWNER, process, LEASE_SECONDS, kinds=tuple(ASKS))
    if row is None:
        return ""
    try:
        ask, names = ASKS[row["kind"]]
        asked = {name: str(row["args"].get(name, "")) for name in names}
        before = {waiting["uuid"] for waiting in decisions.waiting(tx)}
        uuid = ask(tx, settings, actor=row["actor"], **asked)
        commands.finish(tx, row["id"], {"decision": uuid, "waited_already": uuid in before}, process=process)
    except TrimtabError as error:
        commands.fail(tx, row["id"], f"{error.message} {error.remedy}".strip(), process=process)
        return f"{row['kind']} refused for {row['actor']}: {error.message}"
    return f"{row['kind']} done for {row['actor']}"


async def compare(bench: Bench, process: str) -> str:
    """Carry out the oldest comparison that waits; returns a line about it, or an empty text when there is none.

    It lasts minutes, so its lease is renewed as it goes; one whose worker died is taken again while it has not expired.
    """

    def write(change: Callable[[Tx], Any]) -> Any:
        with bench.store.write(bench.clock()) as tx:
            return change(tx)

    async def renew(what: str, done: int, of: int) -> None:
        def change(tx: Tx) -> None:
            commands.progress(tx, row["id"], done / of, process=process, lease_seconds=LEASE_SECONDS)

        try:
            await asyncio.to_thread(write, change)
        except Unavailable:
            return  # the lease outlasts a store that is away for a moment

    def claim(tx: Tx) -> Any:
        return commands.claim(tx, OWNER, process, LEASE_SECONDS, kinds=("compare",))

    row = await asyncio.to_thread(write, claim)
    if row is None:
        return ""
    result: Mapping[str, Any] | None = None
    try:
        result = await comparison.compare(bench, list(row["args"].get("versions", ())), tell=renew)
        told = f"compared for {row['actor']}"
    except TrimtabError as error:
        told = f"{error.message} {error.remedy}".strip()

    def end(tx: Tx) -> None:
        if result is None:
            commands.fail(tx, row["id"], told, process=process)
        else:
            commands.finish(tx, row["id"], result, process=process)

    try:
        await asyncio.to_thread(write, end)
    except (Conflict, NotFound):
        return "a comparison is another worker's now"
    return told
