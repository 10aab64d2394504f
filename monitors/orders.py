"""Carries out what pages ask of this process: look now, test a notice, take a reference, draw a map, try the past,
export the evidence of a period."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from core.errors import Conflict, InvalidInput, TrimtabError
from monitors import cycle, delivery, exports, reference, rehearsal, topic_map
from monitors.cycle import Outcome
from monitors.effects import Effects
from monitors.probes.rotation import WHOLE
from store.carrying import Carrier, Report

OWNER = "monitors"
# What may take minutes has a lane of its own, so that a look is not kept waiting by it.
LONG = ("backtest", "run_suite", "topic_map", "export_evidence")
SHORT = ("run_monitor", "test_notice", "take_reference")
# How often, and how long apart, a monitor that is running is asked again for its turn.
TURNS, TURN_SECONDS = 40, 0.5
# What a probing monitor asks in one pass when a person wants it now: a first impression, or everything there is.
PASSES: MappingProxyType[str, Mapping[str, Any]] = MappingProxyType(
    {"quick": {"prompts": 24}, "full": {"prompts": WHOLE, "timeout_seconds": 7200}}
)


async def obey(
    effects: Effects, process: str, kinds: Collection[str] = SHORT, *, ending: Callable[[], bool] = lambda: False
) -> str:
    """Carry out the oldest command of `kinds` that waits; returns a line about it, or an empty text without one.

    What is under way when the process must end (`ending`) is handed back.
    """
    carrier = Carrier(effects.store, OWNER, process, effects.clock, ending)
    return await carrier.carry(kinds, lambda row, report: _carry_out(row, effects, report))


async def _carry_out(row: Mapping[Any, Any], effects: Effects, report: Report) -> dict[str, Any]:
    args, name = row["args"], str(row["args"].get("monitor", ""))
    if row["kind"] == "run_monitor":
        return _told(await asyncio.to_thread(cycle.run_now, name, effects))
    if row["kind"] == "run_suite":
        wanted = PASSES.get(str(args.get("pass", "")))
        if wanted is None:
            raise InvalidInput("There is no such pass.", f"There are: {', '.join(PASSES)}.")
        return _told(await asyncio.to_thread(cycle.run_now, name, effects, wanted))
    if row["kind"] == "take_reference":
        asked = reference.Asked.read(args, row["actor"])
        outcome = None
        for _ in range(TURNS):
            outcome = await asyncio.to_thread(cycle.take_reference, name, asked, effects)
            if outcome is not None:
                break
            await asyncio.sleep(TURN_SECONDS)
        return _told(outcome)
    if row["kind"] == "backtest":
        return await asyncio.to_thread(rehearsal.run, rehearsal.Asked.read(args), effects, report)
    if row["kind"] == "topic_map":
        return await asyncio.to_thread(topic_map.run, topic_map.Asked.read(args), effects, report)
    if row["kind"] == "export_evidence":
        return await asyncio.to_thread(exports.run, exports.Asked.read(args, row["actor"]), effects, report)
    if row["kind"] == "test_notice":
        name = str(args.get("channel", ""))
        await delivery.send_test(effects.store, effects.settings, name, effects.clock())
        return {"channel": name}
    raise InvalidInput(f"The monitors know no command {row['kind']}.", "It may be of a newer version.")


def _told(outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        raise Conflict("The monitor is running at this moment.", "Its result will be there shortly.")
    if outcome.state != "done":
        raise TrimtabError(outcome.message)
    return {"monitor": outcome.monitor, "fired": list(outcome.fired)}
