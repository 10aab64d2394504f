"""Carries out what pages ask of this process: propose what a person wants decided, compare versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from core.errors import Unavailable
from core.settings import Settings
from retrain import comparison, decide
from retrain.candidate import Bench
from store import commands, decisions
from store.carrying import LEASE_SECONDS, Carrier, Report, describe
from store.unit_of_work import Tx

OWNER = "retrain"
# What each command asks for, and the names of its arguments.
ASKS: MappingProxyType[str, tuple[Callable[..., str], tuple[str, ...]]] = MappingProxyType(
    {
        "propose": (decide.ask, ("kind", "reason", "alert", "dataset")),
        "override": (decide.ask_override, ("version", "report", "reason")),
        "promote_again": (decide.ask_again, ("version", "report", "reason")),
    }
)


def wait(tx: Tx) -> bool:
    """Whether there is a command that `obey` would take."""
    return commands.waits(tx, OWNER, ASKS)


def obey(tx: Tx, settings: Settings, process: str) -> str:
    """Carry out the oldest command that waits; returns a line about it, or an empty text when there is none.

    The proposal and the end of its command are one transaction: a kill leaves both or neither. Whatever else than
    Unavailable it raises ends the command, so that it keeps no other waiting.
    """
    row = commands.claim(tx, OWNER, process, LEASE_SECONDS, kinds=tuple(ASKS))
    if row is None:
        return ""
    try:
        ask, names = ASKS[row["kind"]]
        asked = {name: str(row["args"].get(name, "")) for name in names}
        before = {waiting["uuid"] for waiting in decisions.waiting(tx)}
        with tx.attempt():
            uuid = ask(tx, settings, actor=row["actor"], **asked)
    except Unavailable:
        raise  # the store is away or busy: it is asked again
    except Exception as error:
        message = describe(OWNER, row["kind"], error)
        commands.fail(tx, row["id"], message, process=process, error=type(error).__name__)
        return f"{row['kind']} refused for {row['actor']}: {message}"
    commands.finish(tx, row["id"], {"decision": uuid, "waited_already": uuid in before}, process=process)
    return f"{row['kind']} done for {row['actor']}"


async def compare(bench: Bench, process: str, *, ending: Callable[[], bool] = lambda: False) -> str:
    """Carry out the oldest comparison that waits, which takes minutes; returns a line about it, or an empty text. One
    that is under way when the process must end (`ending`) is handed back."""

    async def work(row: Mapping[Any, Any], report: Report) -> Mapping[str, Any]:
        async def tell(what: str, done: int, of: int) -> None:
            report(done / of)

        return await comparison.compare(bench, list(row["args"].get("versions", ())), tell=tell)

    return await Carrier(bench.store, OWNER, process, bench.clock, ending).carry(("compare",), work)
