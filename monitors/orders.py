"""Carries out what pages ask of this process: run a monitor now, send a test notice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from core.errors import Conflict, InvalidInput, NotFound, TrimtabError
from monitors import cycle, delivery
from monitors.effects import Effects
from monitors.probes.rotation import WHOLE
from store import commands

OWNER = "monitors"
LEASE_SECONDS = 60.0
# What a probing monitor asks in one pass when a person wants it now: a first impression, or everything there is.
PASSES: MappingProxyType[str, Mapping[str, Any]] = MappingProxyType(
    {"": {}, "quick": {"prompts": 24}, "full": {"prompts": WHOLE, "timeout_seconds": 7200}}
)


async def obey(effects: Effects, process: str) -> str:
    """Carry out the oldest command that waits; returns a line about it, or an empty text when there is none."""

    def claim() -> Any:
        with effects.store.write(effects.clock()) as tx:
            return commands.claim(tx, OWNER, process, LEASE_SECONDS)

    row = await asyncio.to_thread(claim)
    if row is None:
        return ""
    work = asyncio.create_task(_carry_out(row, effects))
    while not (await asyncio.wait({work}, timeout=LEASE_SECONDS / 4))[0]:
        await asyncio.to_thread(_renew, effects, row["id"], process)
    try:
        result = work.result()
    except TrimtabError as error:
        message = f"{error.message} {error.remedy}".strip()
        await asyncio.to_thread(_end, effects, row["id"], process, None, message)
        return f"{row['kind']} failed: {message}"
    await asyncio.to_thread(_end, effects, row["id"], process, result, "")
    return f"{row['kind']} done for {row['actor']}"


async def _carry_out(row: Mapping[Any, Any], effects: Effects) -> dict[str, Any]:
    args = row["args"]
    if row["kind"] == "run_monitor":
        wanted = PASSES.get(str(args.get("pass", "")))
        if wanted is None:
            raise InvalidInput("There is no such pass.", f"There are: {', '.join(name for name in PASSES if name)}.")
        outcome = await asyncio.to_thread(cycle.run_now, str(args.get("monitor", "")), effects, wanted)
        if outcome is None:
            raise Conflict("The monitor is running at this moment.", "Its result will be there shortly.")
        if outcome.state != "done":
            raise TrimtabError(outcome.message)
        return {"monitor": outcome.monitor, "fired": list(outcome.fired)}
    if row["kind"] == "test_notice":
        name = str(args.get("channel", ""))
        await delivery.send_test(effects.store, effects.settings, name, effects.clock())
        return {"channel": name}
    raise InvalidInput(f"The monitors know no command {row['kind']}.", "It may be of a newer version.")


def _renew(effects: Effects, id: int, process: str) -> None:
    with effects.store.write(effects.clock()) as tx:
        commands.progress(tx, id, 0.5, process=process, lease_seconds=LEASE_SECONDS)


def _end(effects: Effects, id: int, process: str, result: Mapping[str, Any] | None, message: str) -> None:
    try:
        with effects.store.write(effects.clock()) as tx:
            if result is None:
                commands.fail(tx, id, message, process=process)
            else:
                commands.finish(tx, id, result, process=process)
    except (Conflict, NotFound):
        return  # it expired or another process took it over
